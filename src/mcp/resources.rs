//! Files of sessions as MCP resources, `sandbox://HANDLE/PATH`. The files of the client's own interpreter are listed;
//! the files of all of its sessions can be read.

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CacheScope, ListResourceTemplatesResult, ListResourcesResult, MetaObject, ReadResourceResult, Resource,
        ResourceContents, ResourceTemplate,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, json};

use super::{Server, TOOLS_TTL_MS};
use crate::{
    limits::{FILE_PART, FILES_LISTED, MAX_RESOURCE, PART_BYTES},
    run::{
        asking::{Answered, FileRequest, ListedFile, Refusal},
        files::{check_path, media_type},
        result::link,
        uri::{FileUri, SCHEME},
    },
    session::{SessionChoice, SessionError},
};

/// How long clients may take a list of files, or a file, as fresh, in milliseconds: the next run may change it.
const FILES_TTL_MS: u64 = 0;

/// The offset, in the `_meta` of a request to read: bytes of a file are read from there on, as many as fit into one
/// message.
const AT: &str = "mcp-run-python/at";

/// The bytes of the whole file, in the `_meta` of those contents.
const SIZE: &str = "mcp-run-python/size";

/// Why a file cannot be read.
enum Unread {
    /// There is no such file, or it is another's.
    Unknown(String),
    /// It cannot be read in this way.
    Refused(String),
    /// Reading failed.
    Failed(String),
}

impl Server {
    /// Lists the files of the client's own interpreter.
    pub(super) async fn resources(
        &self,
        cursor: Option<String>,
        context: &RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let after = match cursor {
            None => String::new(),
            Some(cursor) => {
                after(&cursor).ok_or_else(|| ErrorData::invalid_params("Invalid params: unknown `cursor`", None))?
            }
        };
        // Without an interpreter there are no files: none is started to find that out.
        let mut result = match self.host.own().filter(|own| own.is_started) {
            None => ListResourcesResult::default(),
            Some(own) => {
                let (files, more) = self.list(after).await.map_err(|error| failed(error.to_string()))?;
                let next_cursor = files.last().filter(|_| more).map(|file| BASE64.encode(&file.path));
                let resources = files.iter().map(|ListedFile { path, size }| resource(&own.handle, path, *size));
                ListResourcesResult { next_cursor, ..ListResourcesResult::with_all_items(resources.collect()) }
            }
        };
        #[cfg(feature = "conformance")]
        result.resources.extend(super::fixtures::resources());
        if is_modern(context) {
            (result.ttl_ms, result.cache_scope) = (Some(FILES_TTL_MS), Some(CacheScope::Private));
        }
        Ok(result)
    }

    async fn list(&self, after: String) -> Result<(Vec<ListedFile>, bool), SessionError> {
        let request = FileRequest::List { after, most: FILES_LISTED };
        match self.files().ask(SessionChoice::Unnamed, &request).await? {
            Answered::Listed(files, more) => Ok((files, more)),
            _ => Ok((Vec::new(), false)),
        }
    }

    /// Lists the templates of URIs.
    pub(super) fn resource_templates(&self, context: &RequestContext<RoleServer>) -> ListResourceTemplatesResult {
        let mut templates = Vec::new();
        if self.host.offers_sessions() {
            templates.push(
                ResourceTemplate::new(format!("{SCHEME}{{session}}/{{+path}}"), "session-file")
                    .with_title("File of a session")
                    .with_description(
                        "A file in the working directory of a Python session: its handle, and the path of the file there",
                    ),
            );
        }
        #[cfg(feature = "conformance")]
        templates.extend(super::fixtures::resource_templates());
        let mut result = ListResourceTemplatesResult::with_all_items(templates);
        if is_modern(context) {
            (result.ttl_ms, result.cache_scope) = (Some(TOOLS_TTL_MS), Some(CacheScope::Public));
        }
        result
    }

    /// Reads a file.
    pub(super) async fn resource(
        &self,
        uri: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<ReadResourceResult, ErrorData> {
        #[cfg(feature = "conformance")]
        if let Some(contents) = super::fixtures::resource(uri) {
            return Ok(fresh(ReadResourceResult::new(vec![contents]), context));
        }
        let unknown = |why: String| {
            ErrorData::resource_not_found(format!("Resource not found: {why}"), Some(json!({ "uri": uri })))
        };
        let file = FileUri::parse(uri).map_err(unknown)?;
        // With an offset, only a part is read, so that files of any size can be.
        let at = context.meta.get(AT).and_then(Value::as_u64);
        let (bytes, size) = self.read(&file, at).await.map_err(|error| match error {
            Unread::Unknown(why) => unknown(why),
            Unread::Refused(why) => ErrorData::invalid_params(format!("Invalid params: {why}"), None),
            Unread::Failed(why) => failed(why),
        })?;
        let contents = match (String::from_utf8(bytes), at) {
            (Ok(text), None) => ResourceContents::text(text, uri),
            (Ok(text), Some(_)) => ResourceContents::blob(BASE64.encode(text), uri),
            (Err(error), _) => ResourceContents::blob(BASE64.encode(error.as_bytes()), uri),
        };
        let mut contents = contents.with_mime_type(media_type(&file.path));
        if at.is_some() {
            contents = contents.with_meta(MetaObject(Map::from_iter([(SIZE.to_owned(), size.into())])));
        }
        Ok(fresh(ReadResourceResult::new(vec![contents]), context))
    }

    /// Reads all bytes of a file, if they are few enough; or some, from `at` on. Returns them with the size of the
    /// file.
    ///
    /// **Boundary.** Files that are neither the client's own nor of its sessions seem not to exist.
    async fn read(&self, uri: &FileUri, at: Option<u64>) -> Result<(Vec<u8>, u64), Unread> {
        let begin = at.unwrap_or(0);
        let FileUri { handle, path } = uri;
        if let Some(keeper) = self.host.keeper() {
            let mut bytes = Vec::new();
            while let Some(piece) = keeper.get(handle, path, begin + bytes.len() as u64).await {
                check_size(piece.size, at)?;
                let is_end = piece.bytes.is_empty();
                bytes.extend(piece.bytes);
                // A file that is read as a whole was checked to fit into one message.
                if is_end || at.is_some() && bytes.len() + PART_BYTES > MAX_RESOURCE {
                    return Ok((bytes, piece.size));
                }
            }
        }
        let missing = || Unread::Unknown("there is no such file".into());
        let choice = match self.host.own().filter(|own| own.handle == *handle) {
            Some(own) if !own.is_started => return Err(missing()),
            Some(_) => SessionChoice::Unnamed,
            None if self.host.offers_sessions() => SessionChoice::Handle(handle.clone()),
            None => return Err(missing()),
        };
        let files = self.files();
        let mut file = Vec::new();
        let mut version = None;
        loop {
            let request = FileRequest::Read { path: path.clone(), at: begin + file.len() as u64, bytes: FILE_PART };
            let answered = files.ask(choice.clone(), &request).await.map_err(|error| match error {
                SessionError::Unknown => missing(),
                SessionError::Ended(why) => Unread::Unknown(why.to_string()),
                other => Unread::Failed(other.to_string()),
            });
            let part = match answered? {
                Answered::Read(part) => part,
                Answered::Refused(Refusal::Missing) => return Err(missing()),
                Answered::Refused(refusal) => return Err(Unread::Refused(refusal.to_string())),
                Answered::Listed(..) | Answered::Done(_) => return Err(missing()),
            };
            check_size(part.size, at)?;
            if version.is_some_and(|version| version != part.version) {
                return Err(Unread::Failed("the file was changed while it was read; read it again".into()));
            }
            version = Some(part.version);
            file.extend_from_slice(&part.bytes);
            if begin + file.len() as u64 >= part.size || file.len() + FILE_PART > MAX_RESOURCE {
                return Ok((file, part.size));
            }
        }
    }
}

fn check_size(size: u64, at: Option<u64>) -> Result<(), Unread> {
    if size <= MAX_RESOURCE as u64 || at.is_some() {
        return Ok(());
    }
    Err(Unread::Refused(format!(
        "the file has {size} bytes, and a resource at most {MAX_RESOURCE}; GET /files/HANDLE/PATH gives a file of any \
         size, where this server is reached by HTTP and the session by its handle"
    )))
}

/// Adds what the protocol version says of caching: none.
fn fresh(mut result: ReadResourceResult, context: &RequestContext<RoleServer>) -> ReadResourceResult {
    if is_modern(context) {
        (result.ttl_ms, result.cache_scope) = (Some(FILES_TTL_MS), Some(CacheScope::Private));
    }
    result
}

fn failed(why: String) -> ErrorData {
    ErrorData::internal_error(why, None)
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| !version.has_initialize())
}

/// Returns the path that a cursor stands for.
fn after(cursor: &str) -> Option<String> {
    let path = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
    check_path(&path).is_ok().then_some(path)
}

/// A file for lists and links.
pub(crate) fn resource(handle: &str, path: &str, size: u64) -> Resource {
    link(&FileUri::new(handle, path), size).with_title(path)
}
