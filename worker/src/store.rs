//! Prepared wheels in the Worker's memory: JavaScript's, which shrinks again, and not our own.

use std::{cell::Cell, collections::HashMap, rc::Rc};

use js_sys::{ArrayBuffer, Uint8Array};
use mcp_run_python::limits::KEPT_WHEELS;
use mcp_run_python::packages::{
    PackageSet, Room, Wheel,
    wheel::{PreparedWheel, Size},
};
use serde::Deserialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen(raw_module = "./runtime/modules.js")]
extern "C" {
    /// The packages that are built in, as `xtask/runtime/packages.mjs` writes them.
    #[wasm_bindgen(thread_local_v2, js_name = packages)]
    static BUILT_IN: JsValue;

    /// What an isolate has room for besides Python, as `xtask/runtime/room.mjs` finds it out.
    #[wasm_bindgen(thread_local_v2, js_name = room)]
    static ROOM: JsValue;
}

#[derive(Default, Deserialize)]
struct BesidesPython {
    code: usize,
    heap: usize,
}

/// Adds what the build knows of the room that an isolate has.
pub fn fill_in(room: &mut Room) {
    // Written by our own build: what cannot be read is none.
    let BesidesPython { code, heap } =
        ROOM.with(|room| serde_wasm_bindgen::from_value(room.clone())).unwrap_or_default();
    room.code = Some(code);
    room.heap = heap;
}

/// How many bytes of prepared wheels are kept at most, but for those that are built in and those that a run needs: where
/// memory has a budget, one isolate's full.
fn kept_bytes(room: &Room) -> usize {
    room.budget.map_or(KEPT_WHEELS, |_| room.of_one_run())
}

/// A wheel as isolates get it.
pub struct Kept {
    /// What it adds to an isolate.
    pub size: Size,
    /// Where its bytes are.
    pub content: Content,
    used: Cell<u64>,
}

/// Where a wheel's bytes are.
pub enum Content {
    /// In every isolate.
    BuiltIn {
        /// Libraries: the path in site-packages, and the name of the module.
        modules: Vec<(String, String)>,
    },
    /// Here.
    Fetched {
        /// The archive.
        archive: ArrayBuffer,
        /// Libraries: the path in site-packages, and the bytes.
        modules: Vec<(String, ArrayBuffer)>,
    },
}

impl Kept {
    /// Moves a wheel out of our own memory.
    pub fn new(wheel: PreparedWheel) -> Self {
        let size = wheel.size();
        let outside = |bytes: Vec<u8>| Uint8Array::from(bytes.as_slice()).buffer();
        let modules = wheel.modules.into_iter().map(|(path, bytes)| (path, outside(bytes))).collect();
        let content = Content::Fetched { archive: outside(wheel.archive), modules };
        Self { size, content, used: Cell::new(0) }
    }
}

/// All of them, by sha256.
#[derive(Default)]
pub struct Store {
    bundled: Option<PackageSet>,
    wheels: HashMap<String, Rc<Kept>>,
    /// Counts uses: what was used least lately goes first.
    clock: u64,
}

#[derive(Deserialize)]
struct BuiltIn {
    code: usize,
    data: usize,
    modules: Vec<(String, String)>,
    wheel: Wheel,
}

impl Store {
    /// The packages that are built in.
    pub fn bundled(&mut self) -> &PackageSet {
        if self.bundled.is_none() {
            // Written by our own build: what cannot be read is none.
            let built_in: Vec<BuiltIn> =
                BUILT_IN.with(|packages| serde_wasm_bindgen::from_value(packages.clone())).unwrap_or_default();
            let mut wheels = Vec::with_capacity(built_in.len());
            for BuiltIn { code, data, modules, wheel } in built_in {
                let (size, content) = (Size { code, data }, Content::BuiltIn { modules });
                self.wheels.insert(wheel.sha256.clone(), Rc::new(Kept { size, content, used: Cell::new(0) }));
                wheels.push(wheel);
            }
            self.bundled = Some(PackageSet::new(wheels));
        }
        self.bundled.get_or_insert_default()
    }

    /// A wheel, if it is here.
    pub fn find(&mut self, sha256: &str) -> Option<Rc<Kept>> {
        let kept = self.wheels.get(sha256)?;
        self.clock += 1;
        kept.used.set(self.clock);
        Some(kept.clone())
    }

    /// Keeps a wheel, at the cost of others if need be, but not of those of its set.
    pub fn keep(&mut self, sha256: &str, kept: Kept, of: &PackageSet, room: &Room) {
        self.wheels.insert(sha256.to_owned(), Rc::new(kept));
        self.find(sha256);
        let mut fetched: Vec<(u64, usize, String)> = self
            .wheels
            .iter()
            .filter(|(_, kept)| matches!(kept.content, Content::Fetched { .. }))
            .map(|(sha256, kept)| (kept.used.get(), kept.size.total(), sha256.clone()))
            .collect();
        fetched.sort_unstable();
        let mut bytes: usize = fetched.iter().map(|(_, size, _)| size).sum();
        fetched.retain(|(_, _, sha256)| of.wheels().iter().all(|wheel| wheel.sha256 != *sha256));
        for (_, size, sha256) in fetched {
            if bytes <= kept_bytes(room) {
                break;
            }
            bytes -= size;
            self.wheels.remove(&sha256);
        }
    }
}
