//! Keeps the files of a run that are too large for its result, as they come.

use std::rc::Rc;

use super::{decoder::Part, files::Changes, uri::FileUri};
use crate::kept::{Item, Keeper};

/// The files of one run.
pub(super) struct Keeping<'a> {
    keeper: Option<&'a Keeper>,
    /// The files that are kept so far; only the last may miss a part.
    items: Vec<Rc<Item>>,
}

impl<'a> Keeping<'a> {
    pub(super) fn new(keeper: Option<&'a Keeper>) -> Self {
        Self { keeper, items: Vec::new() }
    }

    /// Keeps a part. The decoder returns them in order.
    pub(super) async fn take(&mut self, Part { path, size, at, bytes }: Part) {
        let Some(keeper) = self.keeper else { return };
        if at == 0 {
            self.items.push(keeper.item(&path, size));
        }
        // A file is removed from here when a part of it could not be kept.
        let Some(item) = self.items.pop_if(|item| item.path == path) else { return };
        if keeper.put(&item, at, bytes).await {
            self.items.push(item);
        }
    }

    /// Adds the URIs of the kept files to `changes`.
    pub(super) fn tell(self, changes: &mut Changes) {
        for Item { id, path, .. } in self.items.iter().map(|item| &**item) {
            if let Some(file) = changes.files.iter_mut().find(|file| file.path == *path) {
                file.uri = Some(FileUri::new(id.as_str(), path.as_str()));
            }
        }
    }
}
