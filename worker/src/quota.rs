//! How many sessions are open: of each principal, and of all. A Durable Object counts each, for the Worker may run in
//! many places.

use std::{collections::HashMap, rc::Rc, time::Duration};

use mcp_run_python::{
    limits::Quotas,
    session::{self, Known, SessionError},
    transport::Principal,
};
use serde::{Deserialize, Serialize};
use worker::{
    Date, DurableObject, Env, Method, ObjectNamespace, Request, RequestInit, Response, ResponseBuilder, Result, State,
    durable_object,
};

/// How long a session is counted that has been given an id, and nothing else yet.
const BEGINNING: Duration = Duration::from_secs(60);

/// How many sessions are asked to go before a new one is refused: some may have been used since they were counted.
const MOST_ASKED: usize = 16;

/// The binding `QUOTAS`.
#[derive(Clone)]
pub struct SessionQuotas {
    objects: Rc<ObjectNamespace>,
    quotas: Quotas,
}

/// What a [`Quota`] is told.
#[derive(Serialize, Deserialize)]
enum Change {
    /// A session begins; when there are `limit` already, the answer is which of them may have to go.
    Begin { id: String, limit: usize, counted: Counted, evictable_after: Duration },
    /// It goes on.
    Keep { id: String, counted: Counted },
    /// It ended.
    End { id: String },
}

/// What is stored of a session.
#[derive(Serialize, Deserialize)]
struct Counted {
    /// Until when it counts at most: one that was lost without a word is forgotten then.
    until: Duration,
    /// As its object said last: it may have been used since.
    known: Known,
}

/// Why a session cannot begin.
pub enum Refused {
    /// There are too many. If one of these ends, by their ids, it can: those that were not used lately, as far as is known.
    Full(SessionError, Vec<String>),
    /// They could not be counted.
    Failed(SessionError),
}

impl SessionQuotas {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env, quotas: Quotas) -> Result<Self> {
        Ok(Self { objects: Rc::new(env.durable_object("QUOTAS")?), quotas })
    }

    /// Counts a new session of `principal`. `has_run` if a run is about to come.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn begin(&self, principal: &Principal, id: &str, has_run: bool) -> std::result::Result<(), Refused> {
        let Quotas { sessions_each, sessions, evictable_after, .. } = self.quotas;
        let begin = async |object: &str, limit, whose| {
            let counted = Counted { until: now() + BEGINNING, known: Known { used_at: now(), has_run } };
            let begin = Change::Begin { id: id.to_owned(), limit, counted, evictable_after };
            match self.tell(object, &begin).await.map_err(|error| Refused::Failed(crate::remote::failed(error)))? {
                None => Ok(()),
                Some(others) => Err(Refused::Full(SessionError::TooManySessions { limit, whose }, others)),
            }
        };
        begin(&of(principal), sessions_each, "yours").await?;
        let begun = begin(ALL, sessions, "all clients").await;
        if begun.is_err() {
            let end = self.tell(&of(principal), &Change::End { id: id.to_owned() }).await;
            end.map_err(|error| Refused::Failed(crate::remote::failed(error)))?;
        }
        begun
    }

    /// Goes on counting a session for as long as `time`.
    pub async fn keep(&self, principal: &Principal, id: &str, known: Known, time: Duration) -> Result<()> {
        let keep = Change::Keep { id: id.to_owned(), counted: Counted { until: now() + time, known } };
        self.tell(&of(principal), &keep).await?;
        self.tell(ALL, &keep).await.map(drop)
    }

    /// Counts a session no longer.
    pub async fn end(&self, principal: &Principal, id: &str) -> Result<()> {
        let end = Change::End { id: id.to_owned() };
        self.tell(&of(principal), &end).await?;
        self.tell(ALL, &end).await.map(drop)
    }

    /// `None` if it was done, else the ids of those that are in its way.
    async fn tell(&self, object: &str, change: &Change) -> Result<Option<Vec<String>>> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(serde_json::to_string(change)?.into()));
        let request = Request::new_with_init("http://quota/", &init)?;
        let mut response = self.objects.id_from_name(object)?.get_stub()?.fetch_with_request(request).await?;
        match response.status_code() {
            204 => Ok(None),
            _ => response.json().await.map(Some),
        }
    }
}

/// The object that counts all sessions. No principal's has this name.
const ALL: &str = "all";

fn of(principal: &Principal) -> String {
    format!("of {}", principal.name())
}

/// Since 1970.
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
                    let others: Vec<_> = session::evictable(open, now(), evictable_after).take(MOST_ASKED).collect();
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
