//! One rmcp service loop per request: all of its messages belong to that request, without any routing, and dropping it
//! ends everything that the request started.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use rmcp::{
    ErrorData, RoleServer, Service,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, InitializeRequestParams, ProtocolVersion,
        ServerConfig, ServerJsonRpcMessage, ServerResult,
    },
    service::{NotificationContext, RequestContext, serve_directly},
    transport::Transport,
};

use super::driver::{Driver, Signal};

/// The server's messages for one request, ending after its response.
pub(super) struct RequestLoop {
    /// `None` once the response was given.
    driver: Option<Driver>,
    outbox: UnboundedReceiver<ServerJsonRpcMessage>,
}

impl RequestLoop {
    /// Serves `request`. `client` is the `initialize` of a legacy session's client.
    ///
    /// # Errors
    /// The runtime could not be made.
    pub(super) fn start(
        service: impl Service<RoleServer>,
        client: Option<InitializeRequestParams>,
        request: Box<ClientJsonRpcMessage>,
    ) -> io::Result<Self> {
        let driver = Driver::new()?;
        let signal = driver.signal();
        let (inbox, requests) = unbounded();
        let (responses, outbox) = unbounded();
        let transport = ChannelTransport { requests, responses, signal: signal.clone() };
        // The receiver is alive: it is in `transport`.
        let _ = inbox.unbounded_send(*request);
        driver.spawn(async move {
            let running = serve_directly(Signalled { service, signal }, transport, client);
            // Holds the loop and the inbox: dropping either quits the loop by a tokio timer, which traps on wasm.
            std::future::pending::<()>().await;
            drop((running, inbox));
        });
        Ok(Self { driver: Some(driver), outbox })
    }
}

impl Stream for RequestLoop {
    type Item = ServerJsonRpcMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(driver) = &self.driver else { return Poll::Ready(None) };
        driver.poll(cx);
        let polled = self.outbox.poll_next_unpin(cx);
        if let Poll::Ready(Some(message)) = &polled
            && is_final(message)
        {
            self.driver = None;
        }
        polled
    }
}

/// Whether `message` answers a request.
pub(super) fn is_final(message: &ServerJsonRpcMessage) -> bool {
    matches!(message, ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_))
}

/// A service whose handlers may await futures that the host wakes.
struct Signalled<S> {
    service: S,
    signal: Arc<Signal>,
}

impl<S: Service<RoleServer>> Service<RoleServer> for Signalled<S> {
    fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + '_ {
        self.signal.clone().external(self.service.handle_request(request, context))
    }

    fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> impl Future<Output = Result<(), ErrorData>> + '_ {
        self.signal.clone().external(self.service.handle_notification(notification, context))
    }

    fn get_info(&self) -> ServerConfig {
        self.service.get_info()
    }

    fn supported_protocol_versions(&self) -> std::borrow::Cow<'static, [ProtocolVersion]> {
        self.service.supported_protocol_versions()
    }
}

/// rmcp's side of the channels.
struct ChannelTransport {
    requests: UnboundedReceiver<ClientJsonRpcMessage>,
    responses: UnboundedSender<ServerJsonRpcMessage>,
    signal: Arc<Signal>,
}

impl Transport<RoleServer> for ChannelTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.signal.note_activity();
        // If nobody receives any more, the loop is about to be dropped.
        let _ = self.responses.unbounded_send(message);
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let next = self.signal.clone().external(self.requests.next());
        match next.await {
            Some(message) => Some(message),
            // Never `None`: see `RequestLoop::start`.
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
