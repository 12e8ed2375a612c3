//! stub
use std::{io, path::Path, process::{Child, Command}};
/// b
pub struct Bounds<'a> { /// w
 pub workerd: &'a Path, /// c
 pub config: &'a Path, /// m
 pub memory: u64 }
/// s
pub fn spawn(command: &mut Command, _: &Bounds<'_>) -> io::Result<Child> { command.spawn() }
