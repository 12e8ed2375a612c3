//! The edge: a Cloudflare Worker that serves MCP and runs Python in dynamic isolates.
//!
//! A stateless call runs in a fresh isolate; a session is a Durable Object ([`session`]) whose interpreter lives in a facet
//! of it ([`isolate`]).

mod ahead;
mod code;
mod config;
mod host;
mod http;
mod isolate;
mod kept;
mod loader;
mod packages;
mod pages;
mod quota;
mod remote;
mod served;
mod session;
mod spare;
mod store;
mod taken;

use std::rc::Rc;

use mcp_run_python::{
    mcp::Server,
    run::sandbox::Sandbox,
    session::{Fresh, Places},
    settings::{Config, Isolation},
    transport::{Endpoint, Request as CoreRequest, Response as CoreResponse, Routed},
};
use worker::{Context, Env, Request, Response, Result, event};

use crate::{
    ahead::BootedAhead, host::EdgeHost, isolate::Isolates, kept::KeptElsewhere, packages::Later, remote::Sessions,
};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let config = match config::read(&env) {
        Ok(config) => config,
        Err(why) => return Response::error(format!("This server is configured wrongly: {why}"), 500),
    };
    let core = http::request(&request)?;
    if let Err(refusal) = config.transport.access.chosen(&core) {
        return http::response(refusal);
    }
    match request.path().as_str() {
        path if path == "/mcp" || path.starts_with("/files/") => mcp(request, core, env, config, context).await,
        "/health" => pages::health(),
        path if path.starts_with("/packages/") => pages::package(&request, config.packages).await,
        #[cfg(feature = "conformance")]
        "/panic" => panicking(),
        #[cfg(feature = "conformance")]
        "/ahead" => Response::from_json(&ahead::counts()),
        _ => Response::error("Not Found", 404),
    }
}

async fn mcp(request: Request, core: CoreRequest, env: Env, config: Config, context: Context) -> Result<Response> {
    let entered = match config.transport.access.enter(core).await {
        Ok(entered) => entered,
        Err(response) => return http::response(response),
    };
    let principal = entered.principal.clone();
    let sessions = Sessions::new(&env, config.quotas)?;
    let later: Later = Rc::new(move |task| context.wait_until(task));
    let kept = KeptElsewhere::new(&env, config.kept)?;
    let limit = config.booted_ahead;
    ahead::arrived(limit);
    let snapshots = packages::snapshots(&config.packages);
    let packages = packages::compiling(config.packages, config.server.limits, &env, later.clone())?;
    let unnamed = match config.isolation {
        Isolation::Principal => None,
        _ if limit > 0 => {
            let isolates = BootedAhead { isolates: Isolates(env), later };
            Some(Rc::new(Fresh::new(isolates, Places::default(), snapshots)) as Rc<dyn Sandbox>)
        }
        _ => Some(Rc::new(Fresh::new(Isolates(env), Places::default(), snapshots)) as Rc<dyn Sandbox>),
    };
    let host = EdgeHost {
        unnamed,
        own: None,
        sessions: sessions.clone(),
        kept,
        principal: principal.clone(),
        quotas: config.quotas,
    };
    let server = Server::new(Rc::new(host), config.server).with_packages(packages);
    let endpoint = Endpoint::new(server, config.transport);
    let response = match endpoint.route(entered).await {
        Routed::Answered(response) => response,
        // The body was not touched: the request is forwarded as it came.
        Routed::Session(id, entered) => match sessions.find(&id) {
            Some(session) => return sessions.forward(session, request, &entered.principal).await,
            None => CoreResponse::session_not_found(),
        },
        Routed::NewSession(session) => match sessions.begin(&principal, &session.record).await {
            Ok(id) => session.answer(&id),
            Err(error) => CoreResponse::too_many(&error, config.session_idle),
        },
    };
    http::response(response)
}

/// Panics, to test how the Worker goes on after that.
#[cfg(feature = "conformance")]
#[allow(clippy::panic)]
fn panicking() -> Result<Response> {
    panic!("asked for by a test")
}
