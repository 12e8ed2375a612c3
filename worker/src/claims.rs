//! Claims: while one request fetches a wheel, the others that need it wait.
//!
//! They are requests of their own to workerd: each waits for a promise of its own, which the one that ends the wait may
//! resolve from elsewhere.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use futures::{FutureExt, select_biased};
use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::config::PLATFORM;

/// How long one waits: who holds a claim may be a request that was cut off, of which nobody hears again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who waits, by what is claimed.
#[derive(Clone, Default)]
pub struct Claims(Rc<RefCell<HashMap<String, Vec<Function>>>>);

/// A claim, until it is dropped.
pub struct Held {
    claims: Claims,
    name: String,
}

/// Claims `name`, as soon as nobody else does.
pub async fn claim(claims: Claims, name: String) -> Held {
    loop {
        let free = {
            let mut waiting = claims.0.borrow_mut();
            waiting.get_mut(&name).map(|waiting| Promise::new(&mut |resolve, _| waiting.push(resolve)))
        };
        let Some(free) = free else { break };
        select_biased! {
            _ = JsFuture::from(free).fuse() => {}
            () = (PLATFORM.sleep)(PATIENCE).fuse() => break,
        }
    }
    claims.0.borrow_mut().entry(name.clone()).or_default();
    Held { claims, name }
}

impl Drop for Held {
    fn drop(&mut self) {
        let waiting = self.claims.0.borrow_mut().remove(&self.name);
        for resolve in waiting.into_iter().flatten() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    }
}
