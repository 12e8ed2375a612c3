//! What a program showed besides its output: bundles of texts and JSON by their MIME types, as IPython makes them, and
//! images.
//!
//! **Boundary.** The program made all of it, and states its types. HTML, SVG and Markdown from here may have scripts
//! and links in them, and JSON for plotly and Vega may name addresses: code that shows them has to handle that.

use serde_json::{Map, Value};

use super::{protocol::DisplayFrame, sandbox::SandboxError};
use crate::{
    json::shape,
    limits::{MAX_DISPLAY, MAX_DISPLAY_DEPTH, MAX_DISPLAY_ITEMS, MAX_DISPLAYS},
};

/// Types that a model reads, the better one first.
pub const READABLE: [&str; 2] = ["text/markdown", "text/latex"];

/// The displays of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Displayed {
    /// Texts and JSON by their MIME types, a bundle for each value.
    pub bundles: Vec<Map<String, Value>>,
    /// How many parts of them were left out.
    pub omitted: usize,
    /// Values in the JSON of all.
    items: usize,
}

impl Displayed {
    /// Whether nothing was displayed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.omitted == 0
    }

    /// The texts that a model reads: one of each bundle that has one.
    pub fn readable(&self) -> impl Iterator<Item = &str> {
        self.bundles.iter().filter_map(|bundle| READABLE.iter().find_map(|kind| bundle.get(*kind)?.as_str()))
    }

    /// Returns only what a model reads.
    #[must_use]
    pub fn as_read(&self) -> Self {
        let readable = |bundle: &Map<String, Value>| {
            let kind = READABLE.into_iter().find(|kind| bundle.contains_key(*kind))?;
            Some(Map::from_iter([(kind.to_owned(), bundle.get(kind)?.clone())]))
        };
        Self { bundles: self.bundles.iter().filter_map(readable).collect(), ..Self::default() }
    }

    /// Adds a bundle. JSON that is too deep or has too many values is left out, as isolates count neither.
    ///
    /// # Errors
    /// A bundle that no honest isolate sends.
    pub(super) fn add(&mut self, shown: DisplayFrame) -> Result<(), SandboxError> {
        const BAD: SandboxError = SandboxError::Protocol("a display that is none");
        if self.bundles.len() >= MAX_DISPLAYS {
            return Err(SandboxError::Protocol("more to display than it may send"));
        }
        let DisplayFrame { html, markdown, latex, svg, plotly, vega_lite_5, vega_lite_6 } = shown;
        let texts = [("text/html", html), ("text/markdown", markdown), ("text/latex", latex), ("image/svg+xml", svg)];
        let specs = [
            ("application/vnd.plotly.v1+json", plotly),
            ("application/vnd.vegalite.v5+json", vega_lite_5),
            ("application/vnd.vegalite.v6+json", vega_lite_6),
        ];
        if texts.iter().chain(&specs).all(|(_, text)| text.is_none()) {
            return Err(BAD);
        }
        let mut bundle = Map::new();
        for (is_json, kind, text) in texts
            .map(|(kind, text)| (false, kind, text))
            .into_iter()
            .chain(specs.map(|(kind, text)| (true, kind, text)))
        {
            let Some(text) = text else { continue };
            if text.len() > MAX_DISPLAY {
                return Err(SandboxError::Protocol("more to display than it may send"));
            }
            if !is_json {
                bundle.insert(kind.into(), text.into());
                continue;
            }
            let shape = shape(text.as_bytes());
            self.items = self.items.saturating_add(shape.items);
            if shape.depth > MAX_DISPLAY_DEPTH || self.items > MAX_DISPLAY_ITEMS {
                self.omitted += 1;
                continue;
            }
            // An object with serde_json's private name of a number is parsed as no object, and could not be read again.
            match serde_json::from_str(&text) {
                Ok(spec @ Value::Object(_)) => bundle.insert(kind.into(), spec),
                _ => return Err(BAD),
            };
        }
        // A bundle of which all was left out keeps its place: it counts.
        self.bundles.push(bundle);
        Ok(())
    }
}

/// A figure that a program drew, or an image that it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its bytes in base64 (RFC 4648, section 4).
    pub base64: String,
    /// Determined from its bytes.
    pub media_type: &'static str,
}

impl Image {
    /// A PNG or a JPEG of these bytes, which are those of `base64`; `None` if they are anything else.
    #[must_use]
    pub fn new(bytes: &[u8], base64: String) -> Option<Self> {
        /// How every one begins (PNG specification, section 5.2; ITU-T T.81, annex B).
        const SIGNATURES: [(&[u8], &str); 2] = [(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg")];
        let (_, media_type) = SIGNATURES.into_iter().find(|(signature, _)| bytes.starts_with(signature))?;
        Some(Self { base64, media_type })
    }
}
