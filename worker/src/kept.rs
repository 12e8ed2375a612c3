//! Files that are too large for results: kept in a Durable Object for each principal, which deletes them in time.
//!
//! **Boundary.** Only this Worker reaches an object, by the name of the principal who asks: nobody gets another's
//! files. Programs wrote their content, which is only returned as bytes.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt, future::LocalBoxFuture};
use js_sys::{Reflect, Uint8Array};
use mcp_run_python::{
    auth::Principal,
    kept::{Item, Keeper, Kept, KeptOptions, Piece},
    limits::PART_BYTES,
};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use worker::{
    Date, DurableObject, Env, Method, ObjectNamespace, Request, RequestInit, Response, ResponseBuilder, Result, State,
    durable_object,
};

use crate::config::PLATFORM;

/// Header with the size of the whole file, in bytes.
const SIZE: &str = "x-size";

/// The name of an [`Asked`] in the query of an address.
const ASKED: &str = "asked";

/// The binding `KEPT`.
#[derive(Clone)]
pub struct KeptElsewhere {
    objects: Rc<ObjectNamespace>,
    options: KeptOptions,
}

/// A request to an object, as JSON in the query of the address. POST with bytes puts them; GET returns some.
#[derive(Serialize, Deserialize)]
struct Asked {
    id: String,
    path: String,
    at: u64,
    /// Set in a request to put bytes.
    put: Option<Put>,
}

#[derive(Serialize, Deserialize)]
struct Put {
    size: u64,
    /// The most bytes in all, and the least that an item counts as.
    most: u64,
    least: u64,
    time: Duration,
}

impl KeptElsewhere {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env, options: KeptOptions) -> Result<Self> {
        Ok(Self { objects: Rc::new(env.durable_object("KEPT")?), options })
    }

    /// The keeper of a principal's files, if any are kept.
    pub fn keeper(&self, of: &Principal) -> Option<Keeper> {
        (self.options.each > 0).then(|| Keeper::new(Rc::new(self.clone()), of.clone(), PLATFORM))
    }

    async fn ask(&self, of: &Principal, asked: Asked, bytes: Option<Vec<u8>>) -> Result<Response> {
        let mut init = RequestInit::new();
        if let Some(bytes) = bytes {
            init.with_method(Method::Post).with_body(Some(Uint8Array::from(&*bytes).into()));
        }
        let mut url = worker::Url::parse("http://kept/")?;
        url.query_pairs_mut().append_pair(ASKED, &serde_json::to_string(&asked)?);
        let request = Request::new_with_init(url.as_str(), &init)?;
        self.objects.id_from_name(&format!("of {}", of.name()))?.get_stub()?.fetch_with_request(request).await
    }
}

impl Kept for KeptElsewhere {
    fn put(&self, item: &Rc<Item>, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool> {
        let (store, item) = (self.clone(), item.clone());
        async move {
            let put =
                Put { size: item.size, most: store.options.each, least: store.options.least, time: store.options.time };
            let asked = Asked { id: item.id.clone(), path: item.path.clone(), at, put: Some(put) };
            store.ask(&item.owner, asked, Some(bytes)).await.is_ok_and(|response| response.status_code() == 204)
        }
        .boxed_local()
    }

    fn get(&self, owner: &Principal, id: &str, path: &str, at: u64) -> LocalBoxFuture<'static, Option<Piece>> {
        let asked = Asked { id: id.to_owned(), path: path.to_owned(), at, put: None };
        let (store, owner) = (self.clone(), owner.clone());
        async move {
            let mut response = store.ask(&owner, asked, None).await.ok()?;
            let size = response.headers().get(SIZE).ok()??.parse().ok()?;
            Some(Piece { size, bytes: response.bytes().await.ok()? })
        }
        .boxed_local()
    }
}

/// The Durable Object class: the kept files of one principal.
#[durable_object]
pub struct KeptFiles {
    state: State,
}

impl DurableObject for KeptFiles {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let url = request.url()?;
        let asked = url.query_pairs().find(|(name, _)| name == ASKED).ok_or("nothing is asked")?;
        let mut asked: Asked = serde_json::from_str(&asked.1)?;
        self.prepare()?;
        match asked.put.take() {
            Some(put) => self.put(&asked, &put, request.bytes().await?).await,
            None => self.get(&asked),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.prepare()?;
        let next: Vec<Number> = self.select("SELECT min(until) AS n FROM items WHERE until IS NOT NULL", vec![])?;
        let storage = self.state.storage();
        match next.first().and_then(|next| next.n) {
            Some(until) => storage.set_alarm(Duration::from_millis((until - now()).max(0.0) as u64)).await?,
            None => storage.delete_all().await?,
        }
        Response::empty()
    }
}

#[derive(Deserialize)]
struct Number {
    n: Option<f64>,
}

#[derive(Deserialize)]
struct Name {
    id: String,
}

impl KeptFiles {
    /// Makes the tables, and removes expired files.
    fn prepare(&self) -> Result<()> {
        let tables = [
            "CREATE TABLE IF NOT EXISTS items (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, \
             size INTEGER NOT NULL, written INTEGER NOT NULL, until INTEGER NOT NULL)",
            "CREATE TABLE IF NOT EXISTS pieces (id TEXT NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL, \
             PRIMARY KEY (id, at))",
        ];
        for table in tables {
            self.execute(table, vec![])?;
        }
        let late: Vec<Name> = self.select("SELECT id FROM items WHERE until <= ?", vec![now().into()])?;
        late.iter().try_for_each(|Name { id }| self.remove(id))
    }

    async fn put(&self, Asked { id, path, at, .. }: &Asked, put: &Put, bytes: Vec<u8>) -> Result<Response> {
        let (at, size, most) = (number(*at), number(put.size), number(put.most));
        let (least, counted) = (number(put.least), number(put.size.max(put.least)));
        let end = at + number(bytes.len() as u64);
        if counted > most || end > size || bytes.len() > PART_BYTES {
            return refused();
        }
        if at == 0.0 {
            loop {
                let all = "SELECT sum(max(size, ?)) AS n FROM items";
                let all: Vec<Number> = self.select(all, vec![least.into()])?;
                if all.first().and_then(|all| all.n).unwrap_or(0.0) <= most - counted {
                    break;
                }
                let oldest: Vec<Name> = self.select("SELECT id FROM items ORDER BY n LIMIT 1", vec![])?;
                oldest.iter().try_for_each(|Name { id }| self.remove(id))?;
            }
            let until = now() + put.time.as_secs_f64() * 1000.0;
            let values = vec![text(id), text(path), size.into(), until.into()];
            self.execute("INSERT INTO items (id, path, size, written, until) VALUES (?, ?, ?, 0, ?)", values)?;
        }
        let values = vec![end.into(), text(id), at.into()];
        let next = "UPDATE items SET written = ? WHERE id = ? AND written = ? RETURNING id";
        if self.select::<Name>(next, values)?.is_empty() {
            return refused();
        }
        let values = vec![text(id), at.into(), Uint8Array::from(&*bytes).into()];
        self.execute("INSERT INTO pieces (id, at, bytes) VALUES (?, ?, ?)", values)?;
        let storage = self.state.storage();
        if storage.get_alarm().await?.is_none() {
            storage.set_alarm(put.time).await?;
        }
        Ok(ResponseBuilder::new().with_status(204).empty())
    }

    fn get(&self, Asked { id, path, at, .. }: &Asked) -> Result<Response> {
        let at = number(*at);
        let whole = "SELECT size AS n FROM items WHERE id = ? AND path = ? AND written = size";
        let whole: Vec<Number> = self.select(whole, vec![text(id), text(path)])?;
        let Some(size) = whole.first().and_then(|size| size.n) else { return Response::error("Not Found", 404) };
        let piece = "SELECT at, bytes FROM pieces WHERE id = ? AND at <= ? ORDER BY at DESC LIMIT 1";
        let mut found = self.state.storage().sql().exec_raw(piece, vec![text(id), at.into()])?;
        let bytes = match Iterator::next(&mut found).transpose()? {
            Some(row) => {
                let begin = Reflect::get(&row, &"at".into())?.as_f64().unwrap_or(0.0);
                let bytes = Uint8Array::new(&Reflect::get(&row, &"bytes".into())?);
                // Beyond the end, this is empty.
                bytes.subarray((at - begin).min(f64::from(u32::MAX)) as u32, bytes.length()).to_vec()
            }
            None => Vec::new(),
        };
        let mut response = Response::from_bytes(bytes)?;
        response.headers_mut().set(SIZE, &size.to_string())?;
        Ok(response)
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.execute("DELETE FROM pieces WHERE id = ?", vec![text(id)])?;
        self.execute("DELETE FROM items WHERE id = ?", vec![text(id)])
    }

    fn execute(&self, query: &str, values: Vec<JsValue>) -> Result<()> {
        self.state.storage().sql().exec_raw(query, values).map(drop)
    }

    fn select<T: serde::de::DeserializeOwned>(&self, query: &str, values: Vec<JsValue>) -> Result<Vec<T>> {
        self.state.storage().sql().exec_raw(query, values)?.to_array()
    }
}

fn refused() -> Result<Response> {
    Ok(ResponseBuilder::new().with_status(409).empty())
}

fn text(text: &str) -> JsValue {
    JsValue::from_str(text)
}

/// A number as JavaScript, and through it SQLite, takes it.
fn number(number: u64) -> f64 {
    number as f64
}

/// Milliseconds since 1970.
fn now() -> f64 {
    number(Date::now().as_millis())
}
