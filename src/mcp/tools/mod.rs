//! The tools: a file each, with its definition, its arguments, and its words for models.

pub(super) mod run_python_code;
