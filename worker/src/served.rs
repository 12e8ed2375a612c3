//! Bounds how many packages for pages are held at once, by all requests together.
//!
//! Anybody may ask for them: they are public files, and a page has no token. **Boundary.** So the memory for them is
//! bounded, even if many clients ask and read slowly, or not at all: each file takes one of a few places, for a limited
//! time, and a client that still reads then gets no more.

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures::stream::{self, Stream};
use mcp_run_python::limits::FETCH_TIME;
use worker::{Date, Error};

use crate::config::PLATFORM;

/// How many files are held at once, each of at most `MAX_WHEEL` bytes: an isolate of the platform has 128 MB.
const PLACES: usize = 2;

/// How long fetching and sending a file may take: a mirror's time, and as much for a slow client.
const TIME: Duration = Duration::from_secs(2 * FETCH_TIME.as_secs());

/// How long a request waits for a place, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How much of a file is handed to the platform at once, in bytes.
const CHUNK: usize = 1 << 18;

thread_local! {
    /// The files that are held. A request that was cut off may never drop its place, which is then freed by time.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

struct Held {
    /// Identifies the place.
    owner: Rc<()>,
    until: u64,
    /// Empty until it is fetched.
    file: Vec<u8>,
}

/// A place for a file, freed when this is dropped, or its time is over.
pub struct Place(Rc<()>);

impl Place {
    /// Waits for a free place; `None` if none is free in time.
    pub async fn get() -> Option<Self> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(place) = Self::free() {
                return Some(place);
            }
            if waited >= PATIENCE {
                return None;
            }
            (PLATFORM.sleep)(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    fn free() -> Option<Self> {
        let now = Date::now().as_millis();
        HELD.with_borrow_mut(|held| {
            held.retain(|held| held.until > now);
            if held.len() >= PLACES {
                return None;
            }
            let owner = Rc::new(());
            held.push(Held { owner: owner.clone(), until: now + TIME.as_millis() as u64, file: Vec::new() });
            Some(Self(owner))
        })
    }

    /// Sends a file from this place, as fast as the client reads it.
    pub fn send(self, file: Vec<u8>) -> impl Stream<Item = Result<Vec<u8>, Error>> {
        self.with(|held| held.file = file);
        stream::unfold((self, 0), |(place, at)| async move {
            let chunk =
                place.with(|held| held.file.get(at..).unwrap_or_default().iter().take(CHUNK).copied().collect());
            match chunk {
                None => Some((Err("it took too long".into()), (place, usize::MAX))),
                Some(chunk) if Vec::is_empty(&chunk) => None,
                Some(chunk) => {
                    let next = at + chunk.len();
                    Some((Ok(chunk), (place, next)))
                }
            }
        })
    }

    /// Uses what is held in this place; `None` if its time is over.
    fn with<T>(&self, use_it: impl FnOnce(&mut Held) -> T) -> Option<T> {
        HELD.with_borrow_mut(|held| held.iter_mut().find(|held| Rc::ptr_eq(&held.owner, &self.0)).map(use_it))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| held.retain(|held| !Rc::ptr_eq(&held.owner, &self.0)));
    }
}
