//! The MCP server: `run_python_code`, in the words of the original; and `end_python_session`, where there are sessions.

// Logging is deprecated from 2026-07-28 on (SEP-2577), and specified in every version served here.
#![allow(deprecated)]

mod callers;
mod fit;
#[cfg(feature = "conformance")]
mod fixtures;
mod install;
pub(crate) mod resources;
mod tools;

use std::{cell::Cell, rc::Rc, time::Duration};

use self::{
    fit::{knows_links, wants_all},
    tools::{end_python_session, run_python_code},
};
use crate::{
    kept::Keeper,
    limits::Limits,
    packages::{Installed, Packages},
    run::result::{self as report, ReturnMode},
    run::{self, Ending, Line, Outcome, RunRequest, Stream},
    run::{calls::Callers, sandbox::Sandbox},
    session::{Host, Opened, SessionChoice, SessionError, files::SessionFiles},
};
use futures::{FutureExt, StreamExt, channel::mpsc, select_biased};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, DiscoverResult,
        Implementation, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
        LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam, ProgressToken,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
        SetLevelRequestParams, Tool,
    },
    service::RequestContext,
};
use serde_json::{Map, Value};

/// How often a long run reports progress, to a client that gave a progress token.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);

/// How long clients may take the tool list as fresh, in milliseconds. It changes with the
/// configuration, at a restart, only.
const TOOLS_TTL_MS: u64 = 60 * 60 * 1000;

/// The arguments of `tools/call`, with every number as it was written. The
/// transport puts them into the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawArguments(pub(crate) Map<String, Value>);

/// Options of a server, which the home sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerOptions {
    /// Limits of each run.
    pub limits: Limits,
    /// How the text of a result is written.
    pub return_mode: ReturnMode,
    /// Whether the home gives files to every run, in [`DATA`](crate::run::files::DATA).
    pub has_data: bool,
}

/// The rmcp handler. Clones share the log level: the server of a legacy session is cloned for each
/// of its requests.
#[derive(Clone)]
pub struct Server {
    host: Rc<dyn Host>,
    packages: Option<Rc<Packages>>,
    /// Answers what runs call. Without it, as for every client of MCP, they may call nothing.
    callers: Option<Callers>,
    options: ServerOptions,
    level: Rc<Cell<LoggingLevel>>,
}

impl Server {
    /// A server that runs code where `host` says.
    #[must_use]
    pub fn new(host: Rc<dyn Host>, options: ServerOptions) -> Self {
        // As in the original: no line of output is sent until `logging/setLevel` asks for it.
        Self { host, packages: None, callers: None, options, level: Rc::new(Cell::new(LoggingLevel::Emergency)) }
    }

    /// The same, with packages. Without them, runs have the standard library only.
    #[must_use]
    pub fn with_packages(self, packages: Rc<Packages>) -> Self {
        Self { packages: Some(packages), ..self }
    }

    /// The same server for another client: it shares nothing that a client can set, and its runs call nothing.
    pub(crate) fn for_another_client(&self) -> Self {
        Self { packages: self.packages.clone(), ..Self::new(self.host.clone(), self.options) }
    }

    /// The same for runs that may call. Answers come twice, and one comes that nobody asked for.
    #[cfg(feature = "conformance")]
    fn with_fixtures(&self) -> Self {
        let mut options = self.options;
        options.limits.calls = fixtures::CALL_LIMITS;
        let host = Rc::new(fixtures::Repeating(self.host.clone()));
        let callers: Callers = Rc::new(|_| Some(Rc::new(fixtures::Answers) as Rc<_>));
        Self { host, packages: None, callers: Some(callers), options, level: self.level.clone() }
    }

    /// The level that `logging/setLevel` set, in the legacy eras.
    pub(crate) fn level(&self) -> LoggingLevel {
        self.level.get()
    }

    pub(crate) fn restore_level(&self, level: LoggingLevel) {
        self.level.set(level);
    }

    /// The files of the client's sessions.
    pub(crate) fn files(&self) -> SessionFiles {
        SessionFiles { host: self.host.clone(), limits: self.options.limits }
    }

    fn tool(&self) -> Tool {
        let packages = self.packages.as_ref().map(|packages| packages.options());
        run_python_code::definition(self.host.offers_sessions(), &self.options, packages)
    }

    fn tools(&self) -> Vec<Tool> {
        let mut tools = vec![self.tool()];
        if self.host.offers_sessions() {
            tools.push(end_python_session::definition());
        }
        #[cfg(feature = "conformance")]
        tools.splice(0..0, fixtures::tools()); // first: the suite calls the first one without arguments
        tools
    }

    /// The level from which this request's client wants log messages.
    pub(crate) fn threshold(&self, context: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        if context.protocol_version().is_some_and(|version| !version.has_initialize()) {
            context.meta.log_level()
        } else {
            Some(self.level.get())
        }
    }

    async fn run(
        &self,
        call: run_python_code::Call,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let own = self.host.own().filter(|_| call.session == SessionChoice::Unnamed);
        let (mut outcome, handle) = match self.host.open(call.session).await {
            Ok(Opened { sandbox, handle }) => {
                // Files that stay where the client can read them are not kept as well.
                let keeper = self.host.keeper().filter(|_| own.is_none() && handle.is_none());
                (self.install_and_run(sandbox, call.request, keeper.as_ref(), context).await, handle)
            }
            Err(SessionError::Unknown) => {
                let why = format!("Invalid params: argument `session`: {}", SessionError::Unknown);
                return Err(ErrorData::invalid_params(why, None));
            }
            Err(error) => (failed(Vec::new(), error), None),
        };
        let mut links = Vec::new();
        if let Some(kept) = handle.as_deref().or(own.as_ref().map(|own| own.handle.as_str())) {
            outcome.changes.keep(kept);
        }
        if own.is_some() && outcome.changes.has_other_files() {
            // A client that is gone has no use for it.
            let _ = context.peer.notify_resource_list_changed().await;
        }
        if !wants_all(context) {
            (outcome, links) = self.fit(outcome).await;
        }
        let text = report::text(&outcome, self.options.return_mode, handle.as_deref());
        let content = std::iter::once(ContentBlock::text(text))
            .chain(report::attachments(&outcome, knows_links(context)))
            .chain(links.into_iter().filter(|_| knows_links(context)))
            .collect();
        let mut result = CallToolResult::success(content);
        result.structured_content = Some(report::structured(&outcome, handle.as_deref()));
        Ok(result)
    }

    /// Gets the packages that the code needs, and runs it; once more if another package was missing.
    async fn install_and_run(
        &self,
        sandbox: Rc<dyn Sandbox>,
        request: RunRequest,
        keeper: Option<&Keeper>,
        context: &RequestContext<RoleServer>,
    ) -> Outcome {
        let mut progress = Progress::new(context);
        let mut installed = match self.install(&request.code, None, &*sandbox, context, &mut progress).await {
            Ok(installed) => installed,
            // As in the original, the run is not started.
            Err(outcome) => return outcome,
        };
        let mut outcome = self.execute(sandbox.clone(), &request, &installed, keeper, context, &mut progress).await;
        // A run that has shown nothing, and whose interpreter is gone, did nothing that anybody could see twice. Each
        // of the two has the whole time and all other limits. `sandbox` holds the slot, and the first run is gone when
        // the second starts: making two runs of one call gains no more than calling twice.
        let is_unseen = outcome.output.is_empty() && outcome.images.is_empty() && outcome.displayed.is_empty();
        if is_unseen
            && sandbox.is_fresh()
            && self.install_missed(&request.code, &outcome, &mut installed, &*sandbox, context, &mut progress).await
        {
            outcome = self.execute(sandbox, &request, &installed, keeper, context, &mut progress).await;
        }
        self.explain(&mut outcome, &installed);
        if let Some(packages) = &self.packages {
            packages.prepare_later(&installed.set);
        }
        outcome
    }

    /// Runs the code, and tells the client of its progress.
    async fn execute(
        &self,
        sandbox: Rc<dyn Sandbox>,
        request: &RunRequest,
        installed: &Installed,
        keeper: Option<&Keeper>,
        context: &RequestContext<RoleServer>,
        progress: &mut Progress<'_>,
    ) -> Outcome {
        let mut log = Log::new(context, self.threshold(context), self.options.limits.logs_per_second);
        progress.report("Running Python code").await;
        let (sleep, caller) = (sandbox.platform().sleep, self.caller(&context.id));
        let (lines_in, mut lines) = mpsc::unbounded();
        let mut run = Box::pin(
            run::execute(
                sandbox,
                request,
                installed.set.clone(),
                self.options.limits,
                caller.as_deref(),
                keeper,
                move |line: &Line| {
                    // The receiver lives as long as the run.
                    let _ = lines_in.unbounded_send(line.clone());
                },
            )
            .fuse(),
        );
        // For a run whose sandbox fails: it has no outcome to take them from.
        let mut output = Vec::new();
        let mut tick = sleep(PROGRESS_PERIOD).fuse();
        let mut second = sleep(Log::PERIOD).fuse();
        let outcome = loop {
            select_biased! {
                line = lines.select_next_some() => {
                    log.line(&line).await;
                    output.push(line.text);
                }
                outcome = run => break outcome,
                () = tick => {
                    progress.tick("Python code has been running").await;
                    tick = sleep(PROGRESS_PERIOD).fuse();
                }
                () = second => {
                    log.renew().await;
                    second = sleep(Log::PERIOD).fuse();
                }
            }
        };
        while let Ok(line) = lines.try_recv() {
            log.line(&line).await;
            output.push(line.text);
        }
        log.renew().await;
        outcome.unwrap_or_else(|error| failed(output, error))
    }
}

/// A failure of the sandbox as an outcome: the model reads it, and may try again.
fn failed(output: Vec<String>, error: impl std::fmt::Display) -> Outcome {
    Outcome::without_files(output, Ending::RunError(error.to_string()))
}

/// Sends lines of output as log messages, but no more than a client can be expected to take.
struct Log<'a> {
    context: &'a RequestContext<RoleServer>,
    threshold: Option<LoggingLevel>,
    limit: usize,
    /// How many more may be sent before the next [`Log::renew`].
    left: usize,
    /// How many were not sent.
    skipped: usize,
}

impl<'a> Log<'a> {
    /// The period that the limit is for.
    const PERIOD: Duration = Duration::from_secs(1);

    fn new(context: &'a RequestContext<RoleServer>, threshold: Option<LoggingLevel>, limit: usize) -> Self {
        Self { context, threshold, limit, left: limit, skipped: 0 }
    }

    async fn line(&mut self, line: &Line) {
        let level = match line.stream {
            Stream::Stdout => LoggingLevel::Info,
            Stream::Stderr => LoggingLevel::Warning,
        };
        // A line that this client does not want does not count.
        if !wanted(self.threshold, level) {
            return;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                log(self.context, self.threshold, level, &line.text).await;
            }
            None => self.skipped += 1,
        }
    }

    /// Begins the next period, and says how many lines of the last were left out.
    async fn renew(&mut self) {
        self.left = self.limit;
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            let text = format!("[{skipped} more lines: the result has them]");
            log(self.context, self.threshold, LoggingLevel::Warning, &text).await;
        }
    }
}

/// Sends a log message if its level reaches `threshold`.
pub(crate) async fn log(
    context: &RequestContext<RoleServer>,
    threshold: Option<LoggingLevel>,
    level: LoggingLevel,
    text: &str,
) {
    if wanted(threshold, level) {
        let message = LoggingMessageNotificationParam::new(level, text.into());
        // A client that is gone ends the run by other means.
        let _ = context.peer.notify_logging_message(message).await;
    }
}

fn wanted(threshold: Option<LoggingLevel>, level: LoggingLevel) -> bool {
    threshold.is_some_and(|threshold| severity(level) >= severity(threshold))
}

/// The levels of RFC 5424, reversed: greater is worse.
fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

/// Progress of one run, in seconds, counted by the host's timer as its clock may stand still.
struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    token: Option<ProgressToken>,
    elapsed: Duration,
}

impl<'a> Progress<'a> {
    fn new(context: &'a RequestContext<RoleServer>) -> Self {
        Self { context, token: context.meta.get_progress_token(), elapsed: Duration::ZERO }
    }

    async fn tick(&mut self, what: &str) {
        self.elapsed += PROGRESS_PERIOD;
        let message = format!("{what} for {} s", self.elapsed.as_secs());
        self.report(&message).await;
    }

    async fn report(&self, message: &str) {
        if let Some(token) = &self.token {
            let param = ProgressNotificationParam::new(token.clone(), self.elapsed.as_secs_f64()).with_message(message);
            let _ = self.context.peer.notify_progress(param).await;
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_logging()
            .enable_resources()
            .enable_resources_list_changed()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("MCP Run Python", env!("CARGO_PKG_VERSION")))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
            .with_instructions(run_python_code::instructions(
                self.host.offers_sessions(),
                self.packages.as_ref().map(|packages| packages.options()),
            ))
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let mut info = self.get_info();
        // A client without an interpreter of its own has no list that could change.
        if let Some(resources) = &mut info.capabilities.resources {
            resources.list_changed = None;
        }
        Ok(DiscoverResult::from_server_info(versions, info)
            .with_ttl_ms(TOOLS_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(ErrorData::invalid_params("Invalid params: unknown `cursor`", None));
        }
        let mut result = ListToolsResult::with_all_items(self.tools());
        if context.protocol_version().is_some_and(|version| !version.has_initialize()) {
            result.ttl_ms = Some(TOOLS_TTL_MS);
            result.cache_scope = Some(CacheScope::Public);
        }
        Ok(result)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.resources(request.and_then(|request| request.cursor), &context).await
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(ErrorData::invalid_params("Invalid params: unknown `cursor`", None));
        }
        Ok(self.resource_templates(&context))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.resource(&request.uri, &context).await.map(Into::into)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        #[cfg(feature = "conformance")]
        if let Some(result) = fixtures::call(&request.name, self, &context).await {
            return result.map(Into::into);
        }
        #[cfg(feature = "conformance")]
        if request.name == fixtures::CALLING {
            let arguments = context.extensions.remove::<RawArguments>().unwrap_or_default();
            let call = run_python_code::arguments(arguments.0, &self.options.limits, self.host.offers_sessions())?;
            return self.with_fixtures().run(call, &context).await.map(Into::into);
        }
        let offers_sessions = self.host.offers_sessions();
        let arguments = context.extensions.remove::<RawArguments>().unwrap_or_default();
        match &*request.name {
            run_python_code::NAME => {
                let call = run_python_code::arguments(arguments.0, &self.options.limits, offers_sessions)?;
                self.run(call, &context).await.map(Into::into)
            }
            end_python_session::NAME if offers_sessions => {
                let handle = end_python_session::arguments(arguments.0)?;
                Ok(end_python_session::result(self.host.end(handle).await).into())
            }
            unknown => Err(ErrorData::invalid_params(format!("Unknown tool: {unknown}"), None)),
        }
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.level.set(request.level);
        Ok(())
    }
}
