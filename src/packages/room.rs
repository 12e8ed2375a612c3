//! How much an isolate has room for, and the error about packages that are too much for it.

use std::{cmp::Reverse, fmt};

use super::{
    requirement::{Origin, Wanted},
    set::Wheel,
    wheel::Size,
};
use crate::limits::Limits;

/// Room in an isolate, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Libraries that the platform takes as code, without Python's own. `None`: it takes any.
    pub code: Option<usize>,
    /// Packages in all (`MEMORY_LIMIT_MB`).
    pub memory: usize,
    /// The interpreter's memory, archives and files, together (`MEMORY_BUDGET_MB`). `None`: no such bound.
    pub budget: Option<usize>,
    /// How much of the budget the interpreter's memory takes before it runs anything.
    pub heap: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { code: None, memory: Limits::default().memory, budget: None, heap: 0 }
    }
}

impl Room {
    /// How many bytes of packages one run may have at most.
    #[must_use]
    pub fn of_one_run(&self) -> usize {
        self.memory.min(self.beside_heap().unwrap_or(usize::MAX))
    }

    /// Whether wheels of these sizes go into an isolate with their bytecode. Programs with few packages need memory,
    /// too: where there is a budget, half of it is left to them.
    pub(super) fn carries_bytecode(&self, sizes: impl Iterator<Item = Size>) -> bool {
        let needed: usize = sizes.map(Size::with_bytecode).sum();
        needed <= self.beside_heap().map_or(self.memory, |beside| beside / 2)
    }

    /// The rest of the budget, for packages. Libraries count as well: loaded, they take about that much of the heap.
    fn beside_heap(&self) -> Option<usize> {
        self.budget.map(|budget| budget.saturating_sub(self.heap))
    }

    /// Returns the bound that these wheels exceed, if any.
    pub(super) fn excess(&self, wheels: &[(&Wheel, Size)]) -> Option<Excess> {
        let bounds =
            [(Bound::Code, self.code), (Bound::Memory, Some(self.memory)), (Bound::Budget, self.beside_heap())];
        bounds.into_iter().find_map(|(bound, room)| {
            let room = room?;
            let measure = |size: &Size| match bound {
                Bound::Code => size.code,
                Bound::Memory | Bound::Budget => size.total(),
            };
            let mut sizes: Vec<(usize, &Wheel)> = wheels.iter().map(|(wheel, size)| (measure(size), *wheel)).collect();
            let needed = sizes.iter().map(|(size, _)| size).sum();
            if needed <= room {
                return None;
            }
            sizes.sort_by_key(|(size, _)| Reverse(*size));
            let largest = sizes.into_iter().take(LARGEST).map(|(size, wheel)| (named(wheel), size)).collect();
            let elsewhere = match bound {
                Bound::Code => Some(A_PAGE),
                Bound::Memory => None,
                Bound::Budget => Some(NO_BUDGET).filter(|_| needed <= Limits::default().memory),
            };
            Some(Excess { bound, needed, room, largest, elsewhere, without: Vec::new() })
        })
    }
}

/// How many of the largest packages are named.
const LARGEST: usize = 5;

const A_PAGE: &str = "in a web page, which has no such limit";
const NO_BUDGET: &str = "on the desk (`mcp-run-python stdio`), in a web page and under `cargo xtask dev`";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Code,
    Memory,
    Budget,
}

/// The error about packages that are too much. Its text is for people and models.
#[derive(Debug)]
pub(super) struct Excess {
    bound: Bound,
    needed: usize,
    room: usize,
    /// Name, version and size.
    largest: Vec<((String, String), usize)>,
    /// Where all of it fits.
    elsewhere: Option<&'static str>,
    /// Lists of requirements: without any one list, the rest would fit.
    pub without: Vec<Vec<Wanted>>,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, needed, room, largest, elsewhere, without } = self;
        let first = largest.first().map_or("", |((name, _), _)| name);
        let what = match bound {
            Bound::Code => "libraries",
            Bound::Memory | Bound::Budget => "memory",
        };
        let where_set = match bound {
            Bound::Code => "",
            Bound::Memory => " (MEMORY_LIMIT_MB)",
            Bound::Budget => " beside Python itself (MEMORY_BUDGET_MB)",
        };
        let (needed, room) = (megabytes(*needed), megabytes(*room));
        write!(
            f,
            "{first} is too much: the packages of this run need {needed} of {what}, and an isolate has room for \
             {room}{where_set}. The largest: "
        )?;
        let list: Vec<String> =
            largest.iter().map(|((name, version), size)| format!("{name} {version} {}", megabytes(*size))).collect();
        write!(f, "{}.", list.join(", "))?;
        if !without.is_empty() {
            let each: Vec<String> =
                without.iter().map(|all| all.iter().map(asked).collect::<Vec<_>>().join(" and ")).collect();
            write!(f, " Without {} the rest would fit.", each.join(", or without "))?;
        }
        match elsewhere {
            Some(places) => write!(f, " All of it fits {places}."),
            None => Ok(()),
        }
    }
}

/// Names a requirement as the code has it.
fn asked(Wanted { requirement, origin }: &Wanted) -> String {
    match origin {
        Origin::Script => format!("`{requirement}` of the script block"),
        origin => origin.to_string(),
    }
}

fn named(wheel: &Wheel) -> (String, String) {
    (wheel.name.clone(), wheel.version.clone())
}

/// A size for people.
pub(super) fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
