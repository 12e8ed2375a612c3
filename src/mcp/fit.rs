//! Makes a result fit for a client, and keeps all of what was cut.

use rmcp::{
    RoleServer,
    model::{ContentBlock, ProtocolVersion},
    service::RequestContext,
};

use super::{Server, ServerOptions, report};
use crate::{
    kept::Keeper,
    run::{
        Ending, Outcome, Returned,
        result_limit::{Whole, fits, shorten},
        uri::FileUri,
    },
};

/// If this is `true` in a call's `_meta`, its result is left whole, whatever `RESULT_LIMIT_KB` says.
const WHOLE_RESULT: &str = "mcp-run-python/whole-result";

impl Server {
    /// Cuts an outcome to what a model is told. All of what was cut is kept, if the home does so: the notes in its
    /// place and the links say where.
    pub(super) async fn fit(&self, whole: Outcome) -> (Outcome, Vec<ContentBlock>) {
        let ServerOptions { return_mode, limits, .. } = self.options;
        if fits(&whole, return_mode, limits.result_bytes) {
            return (whole, Vec::new());
        }
        let shortened = |at: &Whole| {
            let mut outcome = whole.clone();
            let cut = shorten(&mut outcome, return_mode, limits.result_bytes, at);
            (outcome, cut)
        };
        let (outcome, cut) = shortened(&Whole::default());
        let Some(keeper) = self.host.keeper().filter(|_| cut.output || cut.ending) else {
            return (outcome, Vec::new());
        };
        let (mut at, mut links) = (Whole::default(), Vec::new());
        if cut.output {
            let text: String = whole.output.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            at.output = keep(&keeper, "output.txt", &text, &mut links).await;
        }
        if cut.ending {
            let (name, text) = match &whole.ending {
                Ending::Success(Returned::None) => ("value.txt", ""),
                Ending::Success(Returned::Text(text)) => ("value.txt", text.as_str()),
                Ending::Success(Returned::Json { text, .. }) => ("value.json", text.as_str()),
                Ending::RunError(text) | Ending::InstallError(text) => ("error.txt", text.as_str()),
            };
            at.ending = keep(&keeper, name, text, &mut links).await;
        }
        (shortened(&at).0, links)
    }
}

/// Keeps a text, and adds a link to it. Returns its URI, if it is kept.
async fn keep(keeper: &Keeper, name: &str, text: &str, links: &mut Vec<ContentBlock>) -> Option<String> {
    let uri = FileUri::new(keeper.keep(name, text).await?, name);
    links.push(ContentBlock::resource_link(report::link(&uri, text.len() as u64)));
    Some(uri.to_string())
}

/// Whether a client wants all of a result because no model reads it: the libraries do.
pub(super) fn wants_all(context: &RequestContext<RoleServer>) -> bool {
    context.meta.get(WHOLE_RESULT) == Some(&true.into())
}

/// Whether a client's version of the protocol has links to resources in results.
pub(super) fn knows_links(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2025_06_18)
}
