//! Making a result fit, and keeping all of what was cut.

use rmcp::model::ContentBlock;

use super::{Server, ServerOptions, report};
use crate::{
    kept::Keeper,
    run::{
        Ending, Outcome, Returned,
        result_limit::{Whole, shorten},
        uri::FileUri,
    },
};

impl Server {
    /// Cuts an outcome to what a model is told. All of what was cut can be read where the words in its place, and the links,
    /// say.
    pub(super) async fn fit(&self, whole: Outcome) -> (Outcome, Vec<ContentBlock>) {
        let ServerOptions { return_mode, limits, .. } = self.options;
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

/// Gives its URI, if it is kept.
async fn keep(keeper: &Keeper, name: &str, text: &str, links: &mut Vec<ContentBlock>) -> Option<String> {
    let uri = FileUri::new(keeper.keep(name, text).await?, name);
    links.push(ContentBlock::resource_link(report::link(&uri, text.len() as u64)));
    Some(uri.to_string())
}
