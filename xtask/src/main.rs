//! `cargo xtask`: sets up, builds, serves and tests the project, from a clean clone on.

mod bench;
mod browser;
mod build;
mod bundle;
mod corpus;
mod coverage;
mod deny;
mod dev;
mod formula;
mod image;
mod licences;
mod link;
mod lints;
mod manifests;
mod mirror;
mod node;
mod packages;
mod page;
mod python;
mod release;
mod sbom;
mod sections;
mod soak;
mod stack;
mod step;
mod suites;
mod test;
mod token;
mod toolchain;
mod wasm;
mod wheel;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, serves and tests the project. Every command gets what it needs first, and skips what is
/// already there.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the worker and serves it on this machine, until Ctrl-C.
    Dev(dev::Dev),
    /// Runs the tests: all, or the suites named.
    Test(test::Test),
    /// Builds everything for deployment into dist/, and prints its size.
    Build {
        /// Another machine that the desk's program is built for, too.
        #[arg(long, value_enum)]
        also: Vec<build::Machine>,
    },
    /// Makes all files of a release into dist/.
    Release(release::Release),
    /// Runs the benchmarks: a table, and target/bench.json.
    Bench(bench::Bench),
    /// Runs programs that others wrote, here and in this machine's Python, and prints what does not pass here.
    Corpus(corpus::Corpus),
    /// Resolves requirements, and writes their wheels as isolates get them.
    #[command(hide = true)]
    Packages(packages::Bundle),
    /// Prints the warnings of rustc and Clippy; fails if there are any.
    Lint,
    /// Links Pyodide's main module ahead of time, as xtask/runtime/build.mjs asks for it.
    #[command(hide = true)]
    Link(link::Link),
    /// Makes Python see the engine's stack end, as xtask/runtime/build.mjs asks for it.
    #[command(hide = true)]
    Stack(stack::Stack),
    Coverage(coverage::Coverage),
    /// Makes a bearer token for a client of the worker (ACCESS=token).
    Token(token::Token),
    /// Builds worker/build, as `wrangler dev` and `wrangler deploy` ask for by themselves.
    #[command(hide = true)]
    Worker,
    /// Builds target/www: the core for JavaScript.
    #[command(hide = true)]
    Core,
    /// Builds the page with the tools of tests; prints its folder.
    #[command(hide = true)]
    TestingPage,
    /// Completes cli/, the npm package: `node cli/src/main.js` runs.
    #[command(hide = true)]
    Desk,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Dev(dev) => dev.run(),
        Command::Test(test) => test.run(),
        Command::Build { also } => build::for_deployment(&also),
        Command::Bench(bench) => bench.run(),
        Command::Corpus(corpus) => corpus.run(),
        Command::Coverage(coverage) => coverage.run(),
        Command::Core => build::core(build::Variant::Release).map(|_| ()),
        Command::Desk => build::desk().map(drop),
        Command::Link(link) => link.run(),
        Command::Lint => lints::run(),
        Command::Stack(stack) => stack.run(),
        Command::Packages(bundle) => bundle.run(),
        Command::Release(release) => release.run(),
        Command::TestingPage => build::page(build::Variant::Testing).map(|site| println!("{}", site.display())),
        Command::Token(token) => token.run(),
        Command::Worker => build::worker(build::Variant::Release).map(|_| ()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
