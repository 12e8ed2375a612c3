//! Links Pyodide's main module ahead of time. What Emscripten does at each start for each of the 8556 exports is done
//! here once, or put off until the export is asked for (`runtime/js/hooks/startup.js`).

use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use wasm_encoder::{
    ConstExpr, ElementSection, Elements, ExportSection, SectionId, TableSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{Export, ExternalKind, Imports, RefType, Table, TableInit};

use crate::sections::Sections;

/// The build fails if more exports than this are left: Pyodide's JavaScript has changed.
const MAX_KEPT: usize = 1500;

/// Links Pyodide's main module; the names that JavaScript knows are on the standard input, separated by spaces.
#[derive(Args)]
pub struct Link {
    /// Pyodide's main module.
    module: PathBuf,
    /// Folder for `placed.wasm`, whose exports have their places in the table, `hidden.wasm`, which has left out those
    /// that only libraries ask for, and `symbols.txt`, which has these by name (JSON).
    out: PathBuf,
}

impl Link {
    /// Writes the three files.
    pub fn run(&self) -> Result<()> {
        let mut names = String::new();
        io::stdin().read_to_string(&mut names)?;
        let module = fs::read(&self.module).with_context(|| format!("{} cannot be read", self.module.display()))?;
        let (placed, hidden, symbols) = link(&module, &names).context("Pyodide's main module has changed")?;
        fs::write(self.out.join("placed.wasm"), placed)?;
        fs::write(self.out.join("hidden.wasm"), hidden)?;
        Ok(fs::write(self.out.join("symbols.txt"), symbols.to_string())?)
    }
}

fn link(module: &[u8], names: &str) -> Result<(Vec<u8>, Vec<u8>, Value)> {
    let placed = place_exports(module)?;
    let (hidden, symbols) = hide_exports(&placed, &names.split_whitespace().collect())?;
    Ok((placed, hidden, symbols))
}

/// Gives each exported function a place in the table, as `updateGOT` does at the start: after those that have one, in
/// the order of the exports.
fn place_exports(module: &[u8]) -> Result<Vec<u8>> {
    let sections = Sections::read(module)?;
    let mut placed: HashSet<u32> = sections.places()?.into_keys().collect();
    let mut added = Vec::new();
    for export in sections.of::<Export>(SectionId::Export)? {
        let export = export?;
        if export.kind == ExternalKind::Func && placed.insert(export.index) {
            added.push(export.index);
        }
    }

    let mut tables = TableSection::new();
    let mut size = None;
    for table in sections.of::<Table>(SectionId::Table)? {
        let table = table?;
        ensure!(matches!(table.init, TableInit::RefNull), "a table has an initial value");
        let mut limits = RoundtripReencoder.table_type(table.ty)?;
        if size.is_none() {
            let functions = table.ty.element_type == RefType::FUNCREF && table.ty.maximum.is_none();
            ensure!(functions, "its first table is not of functions, or bounded");
            size = Some(i32::try_from(table.ty.initial)?);
            limits.minimum += u64::try_from(added.len())?;
        }
        tables.table(limits);
    }
    let mut elements = ElementSection::new();
    RoundtripReencoder.parse_element_section(&mut elements, sections.of(SectionId::Element)?)?;
    let start = ConstExpr::i32_const(size.context("it has no table")?);
    elements.active(None, &start, Elements::Functions(added.into()));
    Ok(sections.with(&[&tables, &elements]))
}

/// Removes the exports that only libraries ask for: each would cost an object at each start. Returns the module, and
/// the removed exports by name: places of functions in the table, addresses of data.
///
/// In `placed`, functions have their places in the table; `named` are the names that JavaScript knows.
fn hide_exports(placed: &[u8], named: &HashSet<&str>) -> Result<(Vec<u8>, Value)> {
    let sections = Sections::read(placed)?;
    let (places, addresses) = (sections.places()?, sections.addresses()?);
    // Exports that the module itself imports are linked at the start, so they stay.
    let mut known = named.clone();
    for import in sections.of::<Imports>(SectionId::Import)?.into_imports() {
        known.insert(import?.name);
    }
    let (mut functions, mut data) = (Map::new(), Map::new());
    let mut kept = ExportSection::new();
    for export in sections.of::<Export>(SectionId::Export)? {
        let Export { name, kind, index } = export?;
        let place = places.get(&index).filter(|_| kind == ExternalKind::Func);
        let address = addresses.get(&index).filter(|_| kind == ExternalKind::Global);
        match (known.contains(name), place, address) {
            (false, Some(place), _) => drop(functions.insert(name.to_owned(), json!(place))),
            (false, None, Some(address)) => drop(data.insert(name.to_owned(), json!(address))),
            _ => drop(kept.export(name, RoundtripReencoder.export_kind(kind)?, index)),
        }
    }
    let count = usize::try_from(kept.len())?;
    ensure!(count <= MAX_KEPT, "{count} of its exports are known to JavaScript");
    Ok((sections.with(&[&kept]), json!({ "functions": functions, "data": data })))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use wasm_encoder::{
        CodeSection, ExportKind, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction,
        Module, Section, TableType, TypeSection, ValType,
    };

    use super::*;
    use crate::sections;

    /// Functions 0 (imported) to 4, of which 1 is in the table; a global that is imported, and others that are not.
    fn module(maximum: Option<u64>) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let i32_global = |mutable| GlobalType { val_type: ValType::I32, mutable, shared: false };
        let mut imports = ImportSection::new();
        imports.import("env", "linked", wasm_encoder::EntityType::Function(0));
        imports.import("env", "base", i32_global(false));
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        for _ in 0..4 {
            functions.function(0);
            code.function(Function::new([]).instruction(&Instruction::End));
        }
        let mut tables = TableSection::new();
        let element_type = wasm_encoder::RefType::FUNCREF;
        tables.table(TableType { element_type, minimum: 7, maximum, table64: false, shared: false });
        let mut globals = GlobalSection::new();
        globals.global(i32_global(false), &ConstExpr::i32_const(70_000));
        globals.global(i32_global(true), &ConstExpr::i32_const(5));
        globals.global(i32_global(false), &ConstExpr::i32_const(-1));
        globals.global(i32_global(false), &ConstExpr::global_get(0));
        let mut exports = ExportSection::new();
        for (name, index) in [("called", 2), ("hidden", 3), ("again", 3), ("placed", 1), ("linked", 4)] {
            exports.export(name, ExportKind::Func, index);
        }
        for (name, index) in [("address", 1), ("mutable", 2), ("negative", 3), ("copied", 4)] {
            exports.export(name, ExportKind::Global, index);
        }
        exports.export("table", ExportKind::Table, 0);
        let mut elements = ElementSection::new();
        elements.active(None, &ConstExpr::i32_const(6), Elements::Functions((&[1][..]).into()));
        let sections: [&dyn Section; 8] = [&types, &imports, &functions, &tables, &globals, &exports, &elements, &code];
        sections::module(sections)
    }

    #[test]
    fn each_exported_function_gets_one_place_behind_those_that_are_there() {
        let placed = place_exports(&module(None)).unwrap();
        let sections = Sections::read(&placed).unwrap();
        let places = HashMap::from([(1, 6), (2, 7), (3, 8), (4, 9)]);
        assert_eq!(sections.places().unwrap(), places);
        let tables: Vec<_> = sections.of::<Table>(SectionId::Table).unwrap().into_iter().collect();
        assert_eq!(tables[0].as_ref().unwrap().ty.initial, 10);
        // All other sections are unchanged.
        let changed = [SectionId::Table as u8, SectionId::Element as u8];
        for (own, now) in Sections::read(&module(None)).unwrap().0.iter().zip(&sections.0) {
            assert!(own.id == now.id && (own.data == now.data || changed.contains(&own.id)), "{}", own.id);
        }
    }

    #[test]
    fn what_no_javascript_names_is_hidden_and_found_by_its_name() {
        let placed = place_exports(&module(None)).unwrap();
        let (hidden, symbols) = hide_exports(&placed, &HashSet::from(["called", "other"])).unwrap();
        let functions = json!({ "hidden": 8, "again": 8, "placed": 6 });
        assert_eq!(symbols, json!({ "functions": functions, "data": { "address": 70_000 } }));
        let sections = Sections::read(&hidden).unwrap();
        let kept = sections.of::<Export>(SectionId::Export).unwrap().into_iter();
        let kept: Vec<_> = kept.map(|export| export.unwrap().name).collect();
        assert_eq!(kept, ["called", "linked", "mutable", "negative", "copied", "table"]);
    }

    #[test]
    fn a_module_that_has_changed_is_refused() {
        let fails = |module: &[u8]| place_exports(module).unwrap_err().to_string();
        assert_eq!(fails(&module(Some(9))), "its first table is not of functions, or bounded");
        assert_eq!(fails(&Module::HEADER), "it has no section Element");
        assert!(!fails(&module(None)[..100]).is_empty());
    }
}
