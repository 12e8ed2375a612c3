//! Counts the open sessions of each principal, and of all. A Durable Object keeps each count, as the Worker may run in
//! many places.

use std::{collections::HashMap, rc::Rc, time::Duration};

use mcp_run_python::{
    auth::Principal,
    limits::Quotas,
    session::{
        Known,
        registry::{Count, evictable},
    },
};
use serde::{Deserialize, Serialize};
use worker::{
    Date, DurableObject, Env, Method, ObjectNamespace, Request, RequestInit, Response, ResponseBuilder, Result, State,
    durable_object,
};

/// How long a session is counted that has only been given an id so far.
const BEGINNING: Duration = Duration::from_secs(60);

/// How many sessions are asked to end before a new one is refused: some may have been used since they were counted.
const MOST_ASKED: usize = 16;

/// The binding `QUOTAS`.
#[derive(Clone)]
pub struct SessionQuotas {
    objects: Rc<ObjectNamespace>,
    pub quotas: Quotas,
}

/// A request to a [`Quota`].
#[derive(Serialize, Deserialize)]
enum Change {
    /// A session begins. If there are `limit` already, the answer lists those that may be ended for it.
    Begin { id: String, limit: usize, counted: Counted, evictable_after: Duration },
    /// A session goes on.
    Keep { id: String, counted: Counted },
    /// A session ended.
    End { id: String },
}

/// The stored count of a session.
#[derive(Serialize, Deserialize)]
struct Counted {
    /// When it stops to count, unless renewed: a session that was lost without notice is forgotten then.
    until: Duration,
    /// The last report of its object: the session may have been used since.
    known: Known,
}

impl SessionQuotas {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env, quotas: Quotas) -> Result<Self> {
        Ok(Self { objects: Rc::new(env.durable_object("QUOTAS")?), quotas })
    }

    /// Counts a new session, or returns those that may be ended for it, as far as is known.
    pub async fn begin(&self, count: &Count<'_>, id: &str, known: Known) -> Result<Option<Vec<String>>> {
        let counted = Counted { until: now() + BEGINNING, known };
        let (limit, evictable_after) = (count.limit, self.quotas.evictable_after);
        self.tell(count.of, &Change::Begin { id: id.to_owned(), limit, counted, evictable_after }).await
    }

    /// Counts a session for another `time`.
    pub async fn keep(&self, principal: &Principal, id: &str, known: Known, time: Duration) -> Result<()> {
        let keep = Change::Keep { id: id.to_owned(), counted: Counted { until: now() + time, known } };
        self.tell(Some(principal), &keep).await?;
        self.tell(None, &keep).await.map(drop)
    }

    /// Stops counting a session among those of a principal, or of all.
    pub async fn end(&self, of: Option<&Principal>, id: &str) -> Result<()> {
        self.tell(of, &Change::End { id: id.to_owned() }).await.map(drop)
    }

    /// Sends a change. `None` if it was made, else the ids of the sessions in its way.
    async fn tell(&self, of: Option<&Principal>, change: &Change) -> Result<Option<Vec<String>>> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(serde_json::to_string(change)?.into()));
        let request = Request::new_with_init("http://quota/", &init)?;
        let mut response = self.objects.id_from_name(&object(of))?.get_stub()?.fetch_with_request(request).await?;
        match response.status_code() {
            204 => Ok(None),
            _ => response.json().await.map(Some),
        }
    }
}

/// The name of the object that counts the sessions of a principal, or of all.
fn object(of: Option<&Principal>) -> String {
    match of {
        Some(principal) => format!("of {}", principal.name()),
        None => "all".to_owned(),
    }
}

/// Time since 1970.
fn now() -> Duration {
    Duration::from_millis(Date::now().as_millis())
}

/// The Durable Object class: the sessions of one principal, or of all.
#[durable_object]
pub struct Quota {
    state: State,
}

impl DurableObject for Quota {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let storage = self.state.storage();
        match request.json().await? {
            Change::Begin { id, limit, counted, evictable_after } => {
                let stored: HashMap<String, String> = serde_wasm_bindgen::from_value(storage.list().await?.into())?;
                let mut open = Vec::new();
                for (id, counted) in stored {
                    match serde_json::from_str::<Counted>(&counted) {
                        Ok(counted) if counted.until > now() => open.push((id, counted.known)),
                        _ => drop(storage.delete(&id).await?),
                    }
                }
                if open.len() >= limit {
                    let others: Vec<_> = evictable(open, now(), evictable_after).take(MOST_ASKED).collect();
                    return Ok(Response::from_json(&others)?.with_status(429));
                }
                storage.put(&id, serde_json::to_string(&counted)?).await?;
            }
            Change::Keep { id, counted } => storage.put(&id, serde_json::to_string(&counted)?).await?,
            Change::End { id } => drop(storage.delete(&id).await?),
        }
        Ok(ResponseBuilder::new().with_status(204).empty())
    }
}
