//! The bundle for clients that install servers from one file (MCPB): the desk's program with all that it needs, and a
//! manifest with the questions that the client asks its user.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    build, manifests, node, python,
    step::{root, run, target},
};

/// Packs the bundle for a machine, from the folder of its program; returns its path.
pub fn pack(home: &Path, system: &str, processor: &str, into: &Path) -> Result<PathBuf> {
    let folder = target().join("bundle");
    let _ = fs::remove_dir_all(&folder);
    let server = folder.join("server");
    fs::create_dir_all(&server)?;
    // The page and its library are left out: they are for HTTP.
    for file in ["mcp-run-python", "workerd"] {
        build::link(&home.join(file), &server.join(file))?;
    }
    build::copy(&home.join("runtime"), &server.join("runtime"))?;
    fs::copy(root().join("LICENSE"), folder.join("LICENSE"))?;
    fs::copy(root().join("cli/README.md"), folder.join("README.md"))?;
    let manifest = folder.join("manifest.json");
    fs::write(&manifest, serde_json::to_string_pretty(&written(system)?)? + "\n")?;
    let bundle = into.join(format!("{}-{}-{system}-{processor}.mcpb", manifests::NAME, manifests::VERSION));
    run(node::command("mcpb").arg("validate").arg(&manifest))?;
    python::PACKAGE.install()?;
    // `mcpb pack` takes more than twice the time, for a larger file.
    run(python::PACKAGE.command("python").args(["-c", include_str!("bundle.py")]).args([&folder, &bundle]))?;
    Ok(bundle)
}

/// The manifest. Each answer is only a part of an argument: clients do not replace an argument by an empty answer, but
/// pass it on as the manifest has it.
fn written(system: &str) -> Result<Value> {
    let npm = manifests::json("cli/package.json")?;
    let server = manifests::json("server.json")?;
    let author = manifests::REPOSITORY.rsplit('/').nth(1).unwrap_or_default();
    Ok(json!({
        "manifest_version": "0.3",
        "name": manifests::NAME,
        "display_name": server["title"],
        "version": manifests::VERSION,
        "description": server["description"],
        "author": { "name": author, "url": manifests::REPOSITORY.rsplit_once('/').map_or("", |(owner, _)| owner) },
        "repository": { "type": "git", "url": format!("{}.git", manifests::REPOSITORY) },
        "homepage": manifests::HOMEPAGE,
        "license": npm["license"],
        "keywords": npm["keywords"],
        "server": {
            "type": "binary",
            "entry_point": "server/mcp-run-python",
            "mcp_config": {
                "command": "${__dirname}/server/mcp-run-python",
                "args": [
                    "--set=MEMORY_LIMIT_MB=${user_config.memory_limit}",
                    "--time-limit=${user_config.time_limit}",
                    "--deps=${user_config.packages}",
                    "stdio",
                ],
                "env": {},
            },
        },
        "tools": [
            {
                "name": "run_python_code",
                "description": "Runs Python in an isolate: no network, no files of this machine",
            },
            { "name": "end_python_session", "description": "Ends a session, and frees its memory" },
        ],
        "compatibility": { "platforms": [system] },
        "user_config": {
            "memory_limit": {
                "type": "number",
                "title": "Memory limit (MB)",
                "description": "Memory of the interpreter; then Python gets a MemoryError.",
                "default": 1024,
                "min": 64,
                "max": 4096,
            },
            "time_limit": {
                "type": "number",
                "title": "Time limit (seconds)",
                "description": "Wall-clock limit of a run; then Python gets a TimeoutError.",
                "default": 60,
                "min": 1,
                "max": 3600,
            },
            "packages": {
                "type": "string",
                "title": "Packages",
                "description": "Packages that every run has, separated by commas: numpy>=2,pandas. What code imports is \
                                installed anyway.",
                "default": "",
            },
        },
    }))
}
