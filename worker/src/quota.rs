//! How many sessions are open: of each principal, and of all. A Durable Object counts each, for the Worker may run in
//! many places.

use std::{collections::HashMap, rc::Rc, time::Duration};

use mcp_run_python::{limits::Quotas, session::SessionError, transport::Principal};
use serde::{Deserialize, Serialize};
use worker::{
    Date, DurableObject, Env, Method, ObjectNamespace, Request, RequestInit, Response, ResponseBuilder, Result, State,
    durable_object,
};

/// How long a session is counted that has been given an id, and nothing else yet.
const BEGINNING: Duration = Duration::from_secs(60);

/// The binding `QUOTAS`.
#[derive(Clone)]
pub struct SessionQuotas {
    objects: Rc<ObjectNamespace>,
    quotas: Quotas,
}

/// What a [`Quota`] is told.
#[derive(Serialize, Deserialize)]
enum Change {
    /// A session begins; refused when there are `limit` already.
    Begin { id: String, limit: usize, until: u64 },
    /// It goes on.
    Keep { id: String, until: u64 },
    /// It ended.
    End { id: String },
}

impl SessionQuotas {
    /// Takes the binding out of the Worker's environment.
    pub fn new(env: &Env, quotas: Quotas) -> Result<Self> {
        Ok(Self { objects: Rc::new(env.durable_object("QUOTAS")?), quotas })
    }

    /// Counts a new session of `principal`.
    ///
    /// # Errors
    /// [`SessionError::TooManySessions`].
    pub async fn begin(&self, principal: &Principal, id: &str) -> std::result::Result<(), SessionError> {
        let begin = |limit| Change::Begin { id: id.to_owned(), limit, until: after(BEGINNING) };
        let Quotas { sessions_each, sessions, .. } = self.quotas;
        if !self.tell(&of(principal), &begin(sessions_each)).await.map_err(crate::remote::failed)? {
            return Err(SessionError::TooManySessions { limit: sessions_each, whose: "yours" });
        }
        if !self.tell(ALL, &begin(sessions)).await.map_err(crate::remote::failed)? {
            self.tell(&of(principal), &Change::End { id: id.to_owned() }).await.map_err(crate::remote::failed)?;
            return Err(SessionError::TooManySessions { limit: sessions, whose: "all clients" });
        }
        Ok(())
    }

    /// Goes on counting a session for as long as `time`.
    pub async fn keep(&self, principal: &Principal, id: &str, time: Duration) -> Result<()> {
        let keep = Change::Keep { id: id.to_owned(), until: after(time) };
        self.tell(&of(principal), &keep).await?;
        self.tell(ALL, &keep).await.map(drop)
    }

    /// Counts a session no longer.
    pub async fn end(&self, principal: &Principal, id: &str) -> Result<()> {
        let end = Change::End { id: id.to_owned() };
        self.tell(&of(principal), &end).await?;
        self.tell(ALL, &end).await.map(drop)
    }

    async fn tell(&self, object: &str, change: &Change) -> Result<bool> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(serde_json::to_string(change)?.into()));
        let request = Request::new_with_init("http://quota/", &init)?;
        let response = self.objects.id_from_name(object)?.get_stub()?.fetch_with_request(request).await?;
        Ok(response.status_code() == 204)
    }
}

/// The object that counts all sessions. No principal's has this name.
const ALL: &str = "all";

fn of(principal: &Principal) -> String {
    format!("of {}", principal.name())
}

fn after(time: Duration) -> u64 {
    Date::now().as_millis() + time.as_millis() as u64
}

/// The Durable Object class: the sessions of one principal, or of all, each with the time until which it counts at
/// most. One that was lost without a word is forgotten then.
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
        let status = match request.json().await? {
            Change::Begin { id, limit, until } => {
                let open: HashMap<String, f64> = serde_wasm_bindgen::from_value(storage.list().await?.into())?;
                let now = Date::now().as_millis() as f64;
                let (_, over): (Vec<_>, Vec<_>) = open.iter().partition(|(_, until)| **until > now);
                let over: Vec<String> = over.into_iter().map(|(id, _)| id.clone()).collect();
                let left = open.len() - over.len();
                for id in over {
                    storage.delete(&id).await?;
                }
                if left < limit {
                    storage.put(&id, until as f64).await?;
                    204
                } else {
                    429
                }
            }
            Change::Keep { id, until } => {
                storage.put(&id, until as f64).await?;
                204
            }
            Change::End { id } => {
                storage.delete(&id).await?;
                204
            }
        };
        Ok(ResponseBuilder::new().with_status(status).empty())
    }
}
