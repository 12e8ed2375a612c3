//! Installs what a run needs, and tells the client about it.

use std::time::Duration;

use futures::{FutureExt, StreamExt, channel::mpsc, select_biased};
use rmcp::{
    RoleServer,
    model::{LoggingLevel, LoggingMessageNotificationParam},
    service::RequestContext,
};

use super::{PROGRESS_PERIOD, Progress, Server, wanted};
use crate::{
    packages::{Event, InstallError, Installed, Missed},
    run::sandbox::Sandbox,
    run::{Ending, Outcome},
};

/// The logger of messages about packages. Messages without one are lines of output.
const LOGGER: &str = "packages";

impl Server {
    /// Gets the packages that `code` needs, and the package of the module that a run of it has `missed`.
    ///
    /// # Errors
    /// The outcome of a run that is not started.
    pub(super) async fn install(
        &self,
        code: &str,
        missed: Option<&Missed>,
        sandbox: &dyn Sandbox,
        context: &RequestContext<RoleServer>,
        progress: &mut Progress<'_>,
    ) -> Result<Installed, Outcome> {
        let Some(packages) = &self.packages else { return Ok(Installed::default()) };
        let threshold = self.threshold(context);
        let (events_in, mut events) = mpsc::unbounded();
        let log = move |event| {
            // The receiver lives as long as the installation.
            let _ = events_in.unbounded_send(event);
        };
        let mut installing = Box::pin(packages.install_for(code, missed, &log).fuse());
        let mut output = Vec::new();
        let sleep = sandbox.platform().sleep;
        let mut tick = sleep(PROGRESS_PERIOD).fuse();
        let installed = loop {
            select_biased! {
                event = events.select_next_some() => tell(context, threshold, progress, &mut output, event).await,
                installed = installing => break installed,
                () = tick => {
                    progress.tick("Packages have been installed").await;
                    tick = sleep(PROGRESS_PERIOD).fuse();
                }
            }
        };
        while let Ok(event) = events.try_recv() {
            tell(context, threshold, progress, &mut output, event).await;
        }
        installed.map_err(|InstallError(why)| Outcome::without_files(output, Ending::InstallError(why)))
    }

    /// Installs the package that a run of `code` with this outcome missed, if it can be had. Returns whether to run it
    /// again, with what is `installed` now.
    pub(super) async fn install_missed(
        &self,
        code: &str,
        outcome: &Outcome,
        installed: &mut Installed,
        sandbox: &dyn Sandbox,
        context: &RequestContext<RoleServer>,
        progress: &mut Progress<'_>,
    ) -> bool {
        let (Ending::RunError(error), Some(packages)) = (&outcome.ending, &self.packages) else { return false };
        let Some(missed) = packages.obtainable(error, code, installed).await else { return false };
        match self.install(code, Some(&missed), sandbox, context, progress).await {
            Ok(more) if more.added.is_some() => {
                *installed = more;
                // As below: the second run reports progress, too.
                progress.elapsed += Duration::from_millis(1);
                return true;
            }
            Ok(more) => installed.missing = more.missing,
            Err(Outcome { ending: Ending::InstallError(why), .. }) => {
                installed.missing.push((missed.top().to_owned(), why));
            }
            Err(_) => {}
        }
        false
    }

    /// Adds to the error of a run that missed a module why it is missing, and what to do.
    pub(super) fn explain(&self, outcome: &mut Outcome, installed: &Installed) {
        let (Ending::RunError(error), Some(packages)) = (&mut outcome.ending, &self.packages) else { return };
        if let Some(why) = packages.why_missing(error, installed) {
            if !error.ends_with('\n') {
                error.push('\n');
            }
            error.push_str(&why);
            error.push('\n');
        }
    }
}

/// Tells the client of an event. All but debug messages become output, too, should the installation fail.
async fn tell(
    context: &RequestContext<RoleServer>,
    threshold: Option<LoggingLevel>,
    progress: &mut Progress<'_>,
    output: &mut Vec<String>,
    event: Event,
) {
    let (level, text) = match event {
        Event::Debug(text) => (LoggingLevel::Debug, text),
        Event::Info(text) => (LoggingLevel::Info, text),
        Event::Warning(text) => (LoggingLevel::Warning, text),
        Event::Progress(done, all) => {
            // Progress is in seconds and has to grow, so a moment is added.
            progress.elapsed += Duration::from_millis(1);
            return progress.report(&format!("Installed {done} of {all} packages")).await;
        }
    };
    if wanted(threshold, level) {
        let message = LoggingMessageNotificationParam::new(level, text.as_str().into()).with_logger(LOGGER);
        // A client that is gone ends the run by other means.
        let _ = context.peer.notify_logging_message(message).await;
    }
    if level != LoggingLevel::Debug {
        output.push(text);
    }
}
