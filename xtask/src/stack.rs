//! Lets Python see where the engine's stack ends.
//!
//! A WebAssembly module has two stacks: the engine's, of about 1 MB, for calls and their locals, and one in its memory,
//! for everything with an address. CPython measures only the second, to raise `RecursionError`, and to free nested
//! objects in steps. Many recursive functions take little of the second stack, so the first one overflowed unnoticed
//! and ended the interpreter: when a list nested 4000 deep was freed, or in a `__repr__` that calls itself.
//!
//! So this makes functions that use the second stack take as much of it as of the first one, and sets Python's limit to
//! as much of it as there is of the first one, both times [`SCALE`].

use std::{collections::HashMap, fs, ops::Range, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use wasm_encoder::{
    BlockType, CodeSection, Encode, Instruction, MemArg, SectionId,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{CompositeInnerType, Export, FuncType, FunctionBody, Imports, Operator, RecGroup, TypeRef};

use crate::sections::Sections;

/// Bytes of the engine's stack that Python may take. V8 has 984 KB for a program that may be suspended
/// (`--stack-size`); the rest is for JavaScript, and for estimates here that are too low.
const ENGINE: u32 = 800 * 1024;
/// How many bytes of the stack in the memory, which has 10 MB, stand for a byte of the engine's. With fewer, C's large
/// structures on it would reach the limit long before the engine's stack is full; with more, recursion that nothing
/// bounds would leave it before the engine's stack is full.
const SCALE: u32 = 4;
/// Bytes that a call takes of the engine's stack besides its parameters and locals of 8 bytes each, with a share of
/// what functions take that are called in between and cannot be seen. Measured in V8.
const CALL: u32 = 72;
/// Bytes of the stack in the memory below that limit, for handling the error: CPython ends the interpreter below them.
/// Its own 8 KB would be hardly more than one call takes here.
const BELOW: u32 = 1 << 20;
/// The least that functions take which recurse through others that cannot be seen, such as the `tp_dealloc` of a type.
const LEAST: [(&str, u32); 4] =
    [("_Py_Dealloc", 400), ("PyObject_Repr", 280), ("PyObject_Str", 280), ("PyObject_RichCompare", 280)];

/// Lets Python see where the engine's stack ends.
#[derive(Args)]
pub struct Stack {
    /// Pyodide's main module.
    module: PathBuf,
    /// Where the changed one is written to.
    out: PathBuf,
}

impl Stack {
    /// Writes the changed module.
    pub fn run(&self) -> Result<()> {
        let module = fs::read(&self.module).with_context(|| format!("{} cannot be read", self.module.display()))?;
        let changed = measured(&module).context("Pyodide's main module has changed")?;
        Ok(fs::write(&self.out, changed)?)
    }
}

fn measured(module: &[u8]) -> Result<Vec<u8>> {
    let sections = Sections::read(module)?;
    let mut exports = HashMap::new();
    for export in sections.of::<Export>(SectionId::Export)? {
        let Export { name, index, .. } = export?;
        exports.insert(name, index);
    }
    let exported = |name: &str| exports.get(name).copied().with_context(|| format!("it exports no {name}"));
    let pointer = exported("__stack_pointer")?;
    let limits = exported("_Py_InitializeRecursionLimits")?;
    let (base, set) = (exported("emscripten_stack_get_base")?, exported("PyUnstable_ThreadState_SetStackProtection")?);
    let reached = exported("_Py_ReachedRecursionLimitWithMargin")?;
    let mut least = HashMap::new();
    for (name, bytes) in LEAST {
        least.insert(exported(name)?, bytes);
    }

    let mut types = Vec::new();
    for group in sections.of::<RecGroup>(SectionId::Type)? {
        types.extend(group?.into_types());
    }
    let mut first = 0;
    for import in sections.of::<Imports>(SectionId::Import)?.into_imports() {
        first += u32::from(matches!(import?.ty, TypeRef::Func(_)));
    }
    let bodies = sections.of::<FunctionBody>(SectionId::Code)?;
    let reached = reached.checked_sub(first).and_then(|at| bodies.clone().into_iter().nth(usize::try_from(at).ok()?));
    let soft = first_load(&reached.context("a function is imported")??)?;
    let mut code = CodeSection::new();
    for ((index, ty), body) in (first..).zip(sections.of::<u32>(SectionId::Function)?).zip(bodies) {
        let (ty, body) = (types.get(usize::try_from(ty?)?).context("a type is missing")?, body?);
        let CompositeInnerType::Func(ty) = &ty.composite_type.inner else { bail!("a function of another type") };
        if index == limits {
            code.raw(&limiting(base, set, soft + 4)?);
            continue;
        }
        let engine = SCALE * on_engine(&body, ty)?.max(least.get(&index).copied().unwrap_or_default());
        match Use::of(&body, pointer)? {
            Use::None => code.raw(body.as_bytes()),
            Use::Frame { size, .. } if size >= engine => code.raw(body.as_bytes()),
            Use::Frame { constants, .. } => code.raw(&framed(&body, &constants, engine)?),
            Use::Other { taken } if taken >= engine => code.raw(body.as_bytes()),
            Use::Other { taken } => code.raw(&wrapped(&body, ty, pointer, engine - taken)?),
        };
    }
    Ok(sections.with(&[&code]))
}

/// Bytes that a call of a function takes of the engine's stack.
fn on_engine(body: &FunctionBody, ty: &FuncType) -> Result<u32> {
    let mut slots = u32::try_from(ty.params().len())?;
    for locals in body.get_locals_reader()? {
        slots += locals?.0;
    }
    Ok(CALL + 8 * slots)
}

/// How a function uses the stack in the memory, whose pointer is a global.
#[derive(Debug, PartialEq, Eq)]
enum Use {
    /// Not at all, or it calls nothing.
    None,
    /// It takes `size` bytes at its start, and gives them back at each of its ends, by the constants at these places.
    Frame { size: u32, constants: Vec<Range<usize>> },
    /// In another way, which takes this many bytes at first.
    Other { taken: u32 },
}

impl Use {
    fn of(body: &FunctionBody, pointer: u32) -> Result<Self> {
        let is = |global: &u32| *global == pointer;
        let (mut reads, mut others, mut calls, mut branches, mut taken) = (0, 0, false, false, false);
        let (mut size, mut constants) = (0, Vec::new());
        // The last two operators, with their places.
        let mut before = [None, None];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let start = operators.original_position() - body.range().start;
            let operator = operators.read()?;
            match (&before, &operator) {
                (_, Operator::GlobalGet { global_index }) if is(global_index) => reads += 1,
                (
                    [Some((Operator::GlobalGet { global_index }, _)), Some((Operator::I32Const { value }, at))],
                    Operator::I32Sub,
                ) if is(global_index) && reads == 1 && !branches => {
                    size = u32::try_from(*value)?;
                    constants.push(*at..start);
                }
                (
                    [_, Some((Operator::LocalGet { .. } | Operator::LocalTee { .. }, _))],
                    Operator::GlobalSet { global_index },
                ) if is(global_index) && !constants.is_empty() && !taken => taken = true,
                (
                    [Some((Operator::I32Const { value }, at)), Some((Operator::I32Add, end))],
                    Operator::GlobalSet { global_index },
                ) if is(global_index) && taken && u32::try_from(*value) == Ok(size) => constants.push(*at..*end),
                (_, Operator::GlobalSet { global_index }) if is(global_index) => others += 1,
                (_, Operator::Call { .. } | Operator::CallIndirect { .. }) => calls = true,
                (
                    _,
                    Operator::Block { .. }
                    | Operator::Loop { .. }
                    | Operator::If { .. }
                    | Operator::Try { .. }
                    | Operator::TryTable { .. },
                ) => branches = true,
                _ => {}
            }
            let [_, last] = before;
            before = [last, Some((operator, start))];
        }
        Ok(match (reads, others) {
            (1, 0) if taken => Self::Frame { size, constants },
            (0, 0) => Self::None,
            _ if calls => Self::Other { taken: size },
            // For example, a function that sets the pointer for others.
            _ => Self::None,
        })
    }
}

/// Changes how many bytes a function takes of the stack in the memory.
fn framed(body: &FunctionBody, constants: &[Range<usize>], size: u32) -> Result<Vec<u8>> {
    let size = Instruction::I32Const(i32::try_from(size.next_multiple_of(16))?);
    let (own, mut copied, mut written) = (body.as_bytes(), 0, Vec::new());
    for constant in constants {
        written.extend(own.get(copied..constant.start).context("a constant outside of its function")?);
        size.encode(&mut written);
        copied = constant.end;
    }
    written.extend(own.get(copied..).context("a constant outside of its function")?);
    Ok(written)
}

/// Makes a function take so many more bytes of the stack in the memory.
fn wrapped(body: &FunctionBody, ty: &FuncType, pointer: u32, bytes: u32) -> Result<Vec<u8>> {
    let bytes = i32::try_from(bytes.next_multiple_of(16))?;
    let block = match ty.results() {
        [] => BlockType::Empty,
        [result] => BlockType::Result(RoundtripReencoder.val_type(*result)?),
        _ => bail!("a function has several results"),
    };
    let moved =
        |by| [Instruction::GlobalGet(pointer), Instruction::I32Const(bytes), by, Instruction::GlobalSet(pointer)];

    let own = body.as_bytes();
    let mut operators = body.get_operators_reader()?;
    let at = |position: usize| position - body.range().start;
    let mut copied = at(operators.original_position());
    let mut written = own.get(..copied).context("a function without an end")?.to_vec();
    encode(&mut written, &moved(Instruction::I32Sub));
    // The block holds the function's body; after it, the bytes are given back.
    encode(&mut written, &[Instruction::Block(block)]);
    let mut depth = 0_u32;
    while !operators.eof() {
        let start = at(operators.original_position());
        match operators.read()? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => depth += 1,
            // The last one is the function's own.
            Operator::End | Operator::Delegate { .. } => depth = depth.saturating_sub(1),
            Operator::Return => {
                written.extend(own.get(copied..start).context("a function without an end")?);
                encode(&mut written, &[Instruction::Br(depth)]);
                copied = at(operators.original_position());
            }
            Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } | Operator::ReturnCallRef { .. } => {
                bail!("a function ends with a call");
            }
            _ => {}
        }
    }
    written.extend(own.get(copied..).context("a function without an end")?);
    encode(&mut written, &moved(Instruction::I32Add));
    encode(&mut written, &[Instruction::End]);
    Ok(written)
}

/// The offset of a function's first load. In `_Py_ReachedRecursionLimitWithMargin(tstate, n)` it is that of the thread
/// state's `c_stack_soft_limit`, which `c_stack_hard_limit` follows (`pycore_tstate.h`).
fn first_load(body: &FunctionBody) -> Result<u64> {
    for operator in body.get_operators_reader()? {
        if let Operator::I32Load { memarg } = operator? {
            return Ok(memarg.offset);
        }
    }
    bail!("a function reads nothing")
}

/// A new body of `_Py_InitializeRecursionLimits(tstate)`, which CPython calls for each thread state: it gets the first
/// bytes of the stack. `hard` is the offset of its hard limit.
fn limiting(base: u32, set: u32, hard: u64) -> Result<Vec<u8>> {
    let size = i32::try_from(SCALE * ENGINE)?;
    let below = i32::try_from(SCALE * ENGINE + BELOW)?;
    // It has no locals.
    let mut body = vec![0];
    let limit = [
        Instruction::LocalGet(0),
        Instruction::Call(base),
        Instruction::I32Const(size),
        Instruction::I32Sub,
        Instruction::I32Const(size),
        Instruction::Call(set),
        Instruction::Drop,
        Instruction::LocalGet(0),
        Instruction::Call(base),
        Instruction::I32Const(below),
        Instruction::I32Sub,
        Instruction::I32Store(MemArg { offset: hard, align: 2, memory_index: 0 }),
        Instruction::End,
    ];
    encode(&mut body, &limit);
    Ok(body)
}

fn encode(written: &mut Vec<u8>, instructions: &[Instruction]) {
    for instruction in instructions {
        instruction.encode(written);
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
        ImportSection, Module, Section, TypeSection, ValType,
    };

    use super::*;
    use crate::sections;

    /// Global 0 is the pointer. Function 0 is imported; 1 to 8 are the ones that are named; then those of a test.
    fn module(tested: &[&[Instruction]]) -> Vec<u8> {
        const NAMED: [&str; 8] = [
            "_Py_InitializeRecursionLimits",
            "emscripten_stack_get_base",
            "PyUnstable_ThreadState_SetStackProtection",
            "_Py_Dealloc",
            "PyObject_Repr",
            "PyObject_Str",
            "PyObject_RichCompare",
            "_Py_ReachedRecursionLimitWithMargin",
        ];
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], [ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import("env", "called", EntityType::Function(0));
        let mut globals = GlobalSection::new();
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
        let (mut functions, mut exports, mut code) = (FunctionSection::new(), ExportSection::new(), CodeSection::new());
        exports.export("__stack_pointer", ExportKind::Global, 0);
        for (index, name) in (1..).zip(NAMED) {
            exports.export(name, ExportKind::Func, index);
        }
        let named = [Instruction::LocalGet(0), Instruction::I32Load(at(712)), Instruction::End];
        for body in [&named[..]; NAMED.len()].iter().chain(tested) {
            functions.function(0);
            let mut function = Function::new([(2, ValType::I32)]);
            for instruction in *body {
                function.instruction(instruction);
            }
            code.function(&function);
        }
        let sections: [&dyn Section; 6] = [&types, &imports, &functions, &globals, &exports, &code];
        sections::module(sections)
    }

    fn at(offset: u64) -> MemArg {
        MemArg { offset, align: 2, memory_index: 0 }
    }

    /// The operators of a function, as they are printed.
    fn operators(module: &[u8], function: usize) -> String {
        let bodies = Sections::read(module).unwrap();
        let body = bodies.of::<FunctionBody>(SectionId::Code).unwrap().into_iter().nth(function - 1).unwrap().unwrap();
        let operators = body.get_operators_reader().unwrap().into_iter();
        operators.map(|operator| format!("{:?}\n", operator.unwrap())).collect()
    }

    /// Bytes for a call in these tests: a parameter, and two locals.
    const TAKEN: i32 = ((CALL + 8 * 3) * SCALE) as i32;

    fn frame(size: i32) -> Vec<Instruction<'static>> {
        vec![
            Instruction::GlobalGet(0),
            Instruction::I32Const(size),
            Instruction::I32Sub,
            Instruction::LocalTee(1),
            Instruction::GlobalSet(0),
            Instruction::LocalGet(0),
            Instruction::Call(0),
            Instruction::LocalGet(1),
            Instruction::I32Const(size),
            Instruction::I32Add,
            Instruction::GlobalSet(0),
            Instruction::End,
        ]
    }

    #[test]
    fn a_frame_becomes_as_large_as_the_one_of_the_engine() {
        let (before, large) = (module(&[&frame(16)]), module(&[&frame(1_000_000)]));
        let after = measured(&before).unwrap();
        assert_eq!(operators(&after, 9), operators(&module(&[&frame(TAKEN)]), 9));
        assert_eq!(operators(&measured(&large).unwrap(), 9), operators(&large, 9));
    }

    #[test]
    fn what_only_reads_the_pointer_takes_as_much_while_it_runs() {
        let reads = |end: &[Instruction<'static>]| {
            let called = [Instruction::LocalGet(0), Instruction::Call(0)];
            [&[Instruction::GlobalGet(0), Instruction::Drop], &called[..], end, &[Instruction::End]].concat()
        };
        let early = [
            Instruction::Block(BlockType::Empty),
            Instruction::LocalGet(0),
            Instruction::Return,
            Instruction::End,
            Instruction::Return,
        ];
        let after = measured(&module(&[&reads(&early)])).unwrap();
        let moved = |by| [Instruction::GlobalGet(0), Instruction::I32Const(TAKEN), by, Instruction::GlobalSet(0)];
        let ends = [
            Instruction::Block(BlockType::Empty),
            Instruction::LocalGet(0),
            Instruction::Br(1),
            Instruction::End,
            Instruction::Br(0),
        ];
        let expected = [
            &moved(Instruction::I32Sub),
            &[Instruction::Block(BlockType::Result(ValType::I32))][..],
            &reads(&ends),
            &moved(Instruction::I32Add),
            &[Instruction::End],
        ];
        assert_eq!(operators(&after, 9), operators(&module(&[&expected.concat()]), 9));
    }

    #[test]
    fn what_does_not_recurse_by_itself_is_left_as_it_is() {
        let sets = [Instruction::LocalGet(0), Instruction::GlobalSet(0), Instruction::LocalGet(0), Instruction::End];
        let calls = [Instruction::LocalGet(0), Instruction::Call(0), Instruction::End];
        let before = module(&[&sets, &calls]);
        let after = measured(&before).unwrap();
        for function in [9, 10] {
            assert_eq!(operators(&after, function), operators(&before, function));
        }
        let (size, below) = ((SCALE * ENGINE) as i32, (SCALE * ENGINE + BELOW) as i32);
        let limiting = [
            Instruction::LocalGet(0),
            Instruction::Call(2),
            Instruction::I32Const(size),
            Instruction::I32Sub,
            Instruction::I32Const(size),
            Instruction::Call(3),
            Instruction::Drop,
            Instruction::LocalGet(0),
            Instruction::Call(2),
            Instruction::I32Const(below),
            Instruction::I32Sub,
            Instruction::I32Store(at(716)),
            Instruction::End,
        ];
        assert_eq!(operators(&after, 1), operators(&module(&[&limiting]), 9));
    }

    #[test]
    fn a_module_that_has_changed_is_refused() {
        let fails = |module: &[u8]| measured(module).unwrap_err().to_string();
        assert_eq!(fails(&Module::HEADER), "it has no section Export");
        let tail = [Instruction::GlobalGet(0), Instruction::Drop, Instruction::LocalGet(0), Instruction::Call(0)];
        let tail = [&tail[..], &[Instruction::ReturnCall(0), Instruction::End]].concat();
        assert_eq!(fails(&module(&[&tail])), "a function ends with a call");
    }
}
