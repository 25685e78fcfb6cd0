//! What the files of the core import from each other, tests aside.
//!
//! Read are `use` trees and paths in code that begin with `crate`, `self` or `super`, also where they stand in a macro's
//! arguments. What is compiled for tests alone may import anything and is left out, with the files that only such a
//! module declares.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, Meta, TraitItem, UseTree, VisRestricted};

/// A module, by the names on the way to it from the crate's root, which itself is empty.
pub(super) type Module = Vec<String>;

/// One path from a module to something in the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) from: Module,
    /// Below the sources' folder.
    pub(super) file: String,
    pub(super) line: usize,
    /// What is named, a module first.
    pub(super) path: Module,
}

/// All that is compiled into the core.
#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) modules: BTreeSet<Module>,
    pub(super) imports: Vec<Import>,
    /// Each type, trait and alias that is declared: its name, file and line.
    pub(super) types: Vec<(String, String, usize)>,
}

impl Core {
    /// Reads the files, by their paths below the sources' folder, from `lib.rs` on. An error names the file.
    pub(super) fn read(files: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut core = Self::default();
        let mut waiting = vec![Module::new()];
        while let Some(module) = waiting.pop() {
            let file =
                if module.is_empty() { "lib.rs".to_owned() } else { format!("{}.rs", module.join("/")) };
            let text = files.get(&file).ok_or_else(|| format!("{file} is declared and not there"))?;
            let syntax = syn::parse_file(text)
                .map_err(|error| format!("{file}:{} cannot be read: {error}", error.span().start().line))?;
            let mut reader = Reader {
                file,
                module: module.clone(),
                imports: Vec::new(),
                types: Vec::new(),
                declared: Vec::new(),
            };
            reader.visit_file(&syntax);
            core.imports.append(&mut reader.imports);
            core.types.append(&mut reader.types);
            waiting.append(&mut reader.declared);
            core.modules.insert(module);
        }
        Ok(core)
    }
}

/// Walks through one file.
struct Reader {
    file: String,
    /// Where it is: the file's module, or one that is written inside it.
    module: Module,
    imports: Vec<Import>,
    types: Vec<(String, String, usize)>,
    /// Modules that have files of their own.
    declared: Vec<Module>,
}

impl Reader {
    /// Takes note of a path, if it begins in this crate.
    fn note(&mut self, path: &[String], span: Span) {
        let mut base = self.module.clone();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => (base, rest) = (Module::new(), &rest[1..]),
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while let [first, behind @ ..] = rest
                    && first == "super"
                {
                    base.pop();
                    rest = behind;
                }
            }
            Some(_) | None => return,
        }
        base.extend(rest.iter().filter(|name| *name != "self").cloned());
        let (from, file) = (self.module.clone(), self.file.clone());
        self.imports.push(Import { from, file, line: span.start().line, path: base });
    }

    fn note_tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) => self.note_leaf(&name.ident, before),
            UseTree::Rename(rename) => self.note_leaf(&rename.ident, before),
            UseTree::Glob(glob) => self.note(before, glob.star_token.spans[0]),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(tree, before)),
        }
    }

    fn note_leaf(&mut self, name: &syn::Ident, before: &mut Vec<String>) {
        before.push(name.to_string());
        self.note(before, name.span());
        before.pop();
    }

    /// Paths in the arguments of a macro, which are no syntax yet.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut began = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if !path.is_empty() && colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => {
                    self.note_if_longer(&path, began);
                    (path, began) = (vec![name.to_string()], name.span());
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.note_if_longer(&path, began);
                    path.clear();
                    self.note_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.note_if_longer(&path, began);
                    path.clear();
                }
            }
            colons = 0;
        }
        self.note_if_longer(&path, began);
    }

    /// A word alone is no path: `crate` stands in `pub(crate)` as well.
    fn note_if_longer(&mut self, path: &[String], span: Span) {
        if path.len() > 1 {
            self.note(path, span);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_for_tests) {
            return;
        }
        let name = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.types.push((name.to_string(), self.file.clone(), name.span().start().line));
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let is_for_tests = matches!(item, TraitItem::Fn(item) if item.attrs.iter().any(is_for_tests));
        if !is_for_tests {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_some() {
            visit::visit_item_mod(self, item);
        } else {
            self.declared.push(self.module.clone());
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.note_if_longer(&names, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.note_tokens(called.tokens.clone());
    }

    /// `pub(in crate::…)` says who may import this, not what it imports.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn is_for_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test")
        }
        Meta::List(_) | Meta::Path(_) | Meta::NameValue(_) => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<(usize, String)> {
        let files = BTreeMap::from([
            ("lib.rs".to_owned(), "mod a;".to_owned()),
            ("a.rs".to_owned(), "mod b;".to_owned()),
            ("a/b.rs".to_owned(), text.to_owned()),
        ]);
        let core = Core::read(&files).unwrap();
        core.imports.iter().map(|import| (import.line, import.path.join("::"))).collect()
    }

    #[test]
    fn use_trees_paths_and_arguments_of_macros_are_read_with_their_lines() {
        for (text, expected) in [
            (
                "use crate::x::{self, y, z::{A, B as C}};",
                &[(1, "x"), (1, "x::y"), (1, "x::z::A"), (1, "x::z::B")][..],
            ),
            ("use std::fmt;\n\nuse super::super::x::*;", &[(3, "x")]),
            ("use super::y;", &[(1, "a::y")]),
            ("use self::c::D;", &[(1, "a::b::c::D")]),
            ("fn f() {\n    crate::x::f(super::g());\n}", &[(2, "x::f"), (2, "a::g")]),
            ("fn f(a: Vec<crate::x::A>) {}", &[(1, "x::A")]),
            ("fn f() { let crate::x::A { .. } = a else { return };\n}", &[(1, "x::A")]),
            ("fn f() { println!(\"{}\",\n g(&crate::x::A)); }", &[(2, "x::A")]),
            ("mod c { use super::super::x; }", &[(1, "a::x")]),
            ("pub(in crate::x) fn f() {}\npub(crate) struct A;", &[]),
            ("// crate::x\nconst A: &str = \"crate::x\";", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(line, path)| (*line, (*path).to_owned())).collect();
            assert_eq!(imports(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_compiled_for_tests_alone_may_import_anything() {
        for text in [
            "#[cfg(test)]\nmod tests {\n    use crate::x;\n}",
            "#[cfg(test)]\nuse crate::x;",
            "#[cfg(test)]\nmod nowhere;",
            "impl A {\n    #[cfg(test)]\n    fn f() { crate::x::g() }\n}",
        ] {
            assert_eq!(imports(text), [], "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let files = BTreeMap::from([("lib.rs".to_owned(), "mod a;".to_owned())]);
        assert_eq!(Core::read(&files).unwrap_err(), "a.rs is declared and not there");
        let files = BTreeMap::from([("lib.rs".to_owned(), "fn f() {}\nfn (".to_owned())]);
        assert!(Core::read(&files).unwrap_err().starts_with("lib.rs:2 cannot be read"));
    }
}
