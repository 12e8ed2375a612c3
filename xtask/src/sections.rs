//! Reads the sections of a WebAssembly module, and writes the module with some of them changed.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use wasm_encoder::{Module, RawSection, Section, SectionId};
use wasmparser::{
    BinaryReader, Element, ElementItems, ElementKind, FromReader, Global, Imports, Operator, Parser, SectionLimited,
    TypeRef,
};

/// The sections of a module.
pub struct Sections<'a>(pub Vec<RawSection<'a>>);

impl<'a> Sections<'a> {
    pub fn read(module: &'a [u8]) -> Result<Self> {
        let mut all = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            if let Some((id, range)) = payload?.as_section() {
                all.push(RawSection { id, data: module.get(range).context("a section ends outside of it")? });
            }
        }
        Ok(Self(all))
    }

    /// The module, with these sections instead of its own.
    pub fn with(&self, changed: &[&dyn Section]) -> Vec<u8> {
        module(self.0.iter().map(|own| {
            let written = changed.iter().find(|section| section.id() == own.id);
            written.map_or(own as &dyn Section, |section| *section)
        }))
    }

    /// The items of a section.
    pub fn of<T: FromReader<'a>>(&self, id: SectionId) -> Result<SectionLimited<'a, T>> {
        let section = self.0.iter().find(|section| section.id == id as u8);
        let section = section.with_context(|| format!("it has no section {id:?}"))?;
        Ok(SectionLimited::new(BinaryReader::new(section.data, 0))?)
    }

    /// The functions in the table at the start: the index of each, with its place.
    pub fn places(&self) -> Result<HashMap<u32, u32>> {
        let mut places = HashMap::new();
        for segment in self.of::<Element>(SectionId::Element)? {
            let Element { kind: ElementKind::Active { table_index: None, offset_expr }, items, .. } = segment? else {
                bail!("a segment of another kind");
            };
            let ElementItems::Functions(functions) = items else { bail!("a segment of another kind") };
            let start = constant(&offset_expr)?.context("an offset that is no constant")?;
            for (place, function) in (start..).zip(functions) {
                places.entry(function?).or_insert(place);
            }
        }
        Ok(places)
    }

    /// The globals that are addresses: index of each, with its value.
    pub fn addresses(&self) -> Result<HashMap<u32, u32>> {
        let mut index = 0;
        for import in self.of::<Imports>(SectionId::Import)?.into_imports() {
            index += u32::from(matches!(import?.ty, TypeRef::Global(_)));
        }
        let mut addresses = HashMap::new();
        for (index, global) in (index..).zip(self.of::<Global>(SectionId::Global)?) {
            let Global { ty, init_expr } = global?;
            if let (false, Some(address)) = (ty.mutable, constant(&init_expr)?) {
                addresses.insert(index, address);
            }
        }
        Ok(addresses)
    }
}

/// A module of these sections.
pub fn module<'a>(sections: impl IntoIterator<Item = &'a dyn Section>) -> Vec<u8> {
    let mut module = Module::HEADER.to_vec();
    for section in sections {
        section.append_to(&mut module);
    }
    module
}

/// The value of an expression, if it is a constant `i32` that is not negative.
fn constant(expression: &wasmparser::ConstExpr) -> Result<Option<u32>> {
    let mut operators = expression.get_operators_reader();
    Ok(match (operators.read()?, operators.read()?) {
        (Operator::I32Const { value }, Operator::End) => u32::try_from(value).ok(),
        _ => None,
    })
}
