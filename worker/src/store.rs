//! Prepared wheels in the Worker's memory: in JavaScript's, which shrinks again, and not in wasm's.

use std::{cell::OnceCell, rc::Rc};

use futures::{FutureExt, future::LocalBoxFuture};
use js_sys::{ArrayBuffer, Function, Promise, Uint8Array};
use mcp_run_python::{
    limits::KEPT_WHEELS,
    packages::{
        PackageSet, Room, Wheel,
        cache::{Give, WheelCache},
        wheel::{PreparedWheel, Size},
    },
};
use serde::Deserialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::config::PLATFORM;

#[wasm_bindgen(raw_module = "./runtime/modules.js")]
extern "C" {
    /// The built-in packages, as written by `xtask/runtime/packages.mjs`.
    #[wasm_bindgen(thread_local_v2, js_name = packages)]
    static BUILT_IN: JsValue;

    /// The room that an isolate has besides Python, as found by `xtask/runtime/room.mjs`.
    #[wasm_bindgen(thread_local_v2, js_name = room)]
    static ROOM: JsValue;
}

#[derive(Default, Deserialize)]
struct BesidesPython {
    code: usize,
    heap: usize,
}

/// Fills in what the build knows of an isolate's room.
pub fn fill_in(room: &mut Room) {
    // Our own build writes it; if it cannot be read, it counts as empty.
    let BesidesPython { code, heap } =
        ROOM.with(|room| serde_wasm_bindgen::from_value(room.clone())).unwrap_or_default();
    room.code = Some(code);
    room.heap = heap;
}

/// Most bytes of prepared wheels that are kept, besides those that are built in or needed by a run. With a memory
/// budget: as much as one isolate takes.
pub fn kept_bytes(room: &Room) -> usize {
    room.budget.map_or(KEPT_WHEELS, |_| room.of_one_run())
}

/// A wheel in the form in which isolates get it, by where its bytes are.
pub enum Content {
    /// In every isolate.
    BuiltIn {
        /// Libraries: the path in site-packages, and the name of the module.
        modules: Vec<(String, String)>,
    },
    /// In this Worker's memory.
    Fetched {
        /// The archive.
        archive: ArrayBuffer,
        /// Libraries: the path in site-packages, and the bytes.
        modules: Vec<(String, ArrayBuffer)>,
        /// The archive of its bytecode, if there is any.
        bytecode: OnceCell<ArrayBuffer>,
    },
}

impl Content {
    /// Moves a wheel out of wasm's memory.
    pub fn new(wheel: PreparedWheel) -> Self {
        let modules = wheel.modules.into_iter().map(|(path, bytes)| (path, outside(&bytes))).collect();
        let content = Self::Fetched { archive: outside(&wheel.archive), modules, bytecode: OnceCell::new() };
        if let Some(bytecode) = wheel.bytecode {
            content.add_bytecode(&bytecode);
        }
        content
    }

    /// Adds the wheel's bytecode. `archive` is empty if it cannot be compiled.
    pub fn add_bytecode(&self, archive: &[u8]) {
        if let Self::Fetched { bytecode, .. } = self
            && !archive.is_empty()
        {
            bytecode.get_or_init(|| outside(archive));
        }
    }
}

fn outside(bytes: &[u8]) -> ArrayBuffer {
    Uint8Array::from(bytes).buffer()
}

/// All prepared wheels.
pub struct Store {
    pub wheels: WheelCache<Rc<Content>>,
    pub bundled: PackageSet,
}

#[derive(Deserialize)]
struct BuiltIn {
    code: usize,
    data: usize,
    modules: Vec<(String, String)>,
    wheel: Wheel,
}

impl Store {
    /// A store with the built-in packages.
    pub fn new() -> Self {
        let wheels = WheelCache::new(PLATFORM.sleep, signal);
        // Our own build writes it; if it cannot be read, it counts as empty.
        let built_in: Vec<BuiltIn> =
            BUILT_IN.with(|packages| serde_wasm_bindgen::from_value(packages.clone())).unwrap_or_default();
        let bundled = built_in.into_iter().map(|BuiltIn { code, data, modules, wheel }| {
            // Their first imports are in the snapshot, so they need no bytecode.
            let size = Size { code, data, bytecode: Some(0) };
            wheels.build_in(&wheel.sha256, size, Rc::new(Content::BuiltIn { modules }));
            wheel
        });
        let bundled = PackageSet::new(bundled.collect());
        Self { wheels, bundled }
    }
}

/// To workerd, all waiters are different requests: so each waits for a promise of its own, which another request may
/// resolve to end the wait.
fn signal() -> (Give, LocalBoxFuture<'static, ()>) {
    let mut give: Option<Function> = None;
    let given = Promise::new(&mut |resolve, _| give = Some(resolve));
    let give = move || {
        if let Some(give) = &give {
            let _ = give.call0(&JsValue::UNDEFINED);
        }
    };
    (Box::new(give), JsFuture::from(given).map(|_| ()).boxed_local())
}
