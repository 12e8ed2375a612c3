//! A connection to one client, over a channel of messages.

use mcp_run_python::transport::Channel;
use wasm_bindgen::prelude::*;

use crate::sessions::Interpreter;

/// A connection to one client. Its interpreter lives as long as it does.
#[wasm_bindgen]
pub struct Connection {
    channel: Channel,
    interpreter: Interpreter,
}

impl Connection {
    pub(crate) fn new(channel: Channel, interpreter: Interpreter) -> Self {
        Self { channel, interpreter }
    }
}

#[wasm_bindgen]
impl Connection {
    /// Takes a message of the client: one JSON text.
    pub fn receive(&self, message: &str) {
        self.channel.receive(message.as_bytes());
    }

    /// The same, as bytes that should be UTF-8.
    #[wasm_bindgen(js_name = receiveBytes)]
    pub fn receive_bytes(&self, message: &[u8]) {
        self.channel.receive(message);
    }

    /// Whether nothing is being answered.
    #[wasm_bindgen(getter)]
    pub fn idle(&self) -> bool {
        self.channel.is_idle()
    }

    /// Ends it, its runs and its interpreter: nothing more is sent.
    pub fn close(&self) {
        self.channel.close();
        self.interpreter.end();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}
