//! Objects one by one, where the source knows which one changed: each is a file of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Document, Index, IndexedFile, Objects};
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::manifest::{Decoded, Kind, Object, ObjectRef, decode_file};
use crate::persistent::PersistentMap;
use crate::source::Contents;

impl Index {
    /// One that no file is put into, only objects.
    pub(crate) fn one_by_one() -> Self {
        Self {
            one_by_one: Some(OneByOne::default()),
            ..Self::default()
        }
    }

    /// Takes over an object. Says whether it is another than before, or what is wrong with it is.
    pub(crate) fn put(&mut self, decoded: Decoded) -> bool {
        let document = Document::new(decoded);
        if let Some(known) = &mut self.one_by_one {
            return known.put(document);
        }
        let name = document.place.file.clone();
        let known = self.files.get(&name);
        let known = known.and_then(|file| file.documents.first());
        if known.is_some_and(|known| known.says_the_same(&document)) {
            return false;
        }
        let source = SourceFile {
            name: name.clone(),
            text: String::new(),
        };
        let file = IndexedFile {
            source: Arc::new(source),
            documents: vec![document],
        };
        self.files.insert(name, file);
        true
    }

    /// Takes over files, whose objects replace those of their names.
    pub(crate) fn overlay(&mut self, contents: Contents) {
        self.problems = contents.problems;
        for (name, source) in contents.files {
            let documents: Vec<_> = decode_file(&source)
                .into_iter()
                .map(Document::new)
                .collect();
            for id in documents.iter().filter_map(|it| it.id.as_ref()) {
                self.remove(id);
            }
            self.files.insert(name, IndexedFile { source, documents });
        }
    }

    /// The newest version of each object that can be read, and those in force.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.readable().chain(self.good())
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, id: &ObjectRef) -> bool {
        match &mut self.one_by_one {
            Some(known) => known.remove(id),
            None => self.files.remove(&id.to_string()).is_some(),
        }
    }

    /// Objects of these kinds whose newest version is not among those in force.
    pub(crate) fn refused_of(&self, kinds: &[Kind], in_force: &Objects) -> BTreeSet<ObjectRef> {
        let refused = self.documents().filter_map(|document| {
            let id = document.id.as_ref().filter(|id| kinds.contains(&id.kind))?;
            let newest = document.object.as_ref();
            let is_in_force =
                newest.is_some_and(|it| in_force.get(id).is_some_and(|good| good.is_same(it)));
            (!is_in_force).then(|| id.clone())
        });
        refused.collect()
    }

    /// The newest versions, and which of them are others than those that were last accepted; none where files were read.
    pub(crate) fn newest(&self) -> Option<(&Objects, &Changes)> {
        let known = self.one_by_one.as_ref()?;
        Some((&known.newest, &known.changes))
    }

    /// What is known now is going to be looked at beside all else. Of its changes those of other kinds are not noted any more,
    /// unless something is wrong with one; those that come are noted for [`Self::accept_marked`], too.
    pub(crate) fn mark(&mut self, stays: impl Fn(Kind) -> bool) {
        if let Some(known) = &mut self.one_by_one {
            known.since_mark = Some(Changes::default());
            let Changes {
                objects,
                are_flawed,
            } = &mut known.changes;
            objects.retain(|id| *are_flawed || stays(id.kind));
        }
    }

    /// As [`Self::accept`], of what took effect of the objects that were known at the mark: what changed since is other than
    /// these.
    pub(crate) fn accept_marked(&mut self, objects: &Objects) {
        self.good.clone_from(objects);
        if let Some(known) = &mut self.one_by_one {
            known.changes = known.since_mark.take().unwrap_or_default();
        }
    }

    /// Whose an object of our own kinds says that it is.
    pub(crate) fn revision(&self, id: &ObjectRef) -> Option<&str> {
        let known = self.one_by_one.as_ref()?;
        known.documents.get(&id.to_string())?.revision.as_deref()
    }

    /// Takes over all objects of a kind, where they come one by one. Says whether anything is another than before.
    pub(crate) fn replace(&mut self, kind: Kind, objects: Vec<Decoded>) -> bool {
        let names: BTreeSet<_> = objects.iter().map(|it| it.place.file.clone()).collect();
        let known = self.one_by_one.as_ref();
        let known = known.map(|known| known.of_kind(kind)).unwrap_or_default();
        let gone = known.iter().filter(|id| !names.contains(&id.to_string()));
        let mut changed = false;
        for id in gone {
            changed |= self.remove(id);
        }
        for object in objects {
            changed |= self.put(object);
        }
        changed
    }

    pub(super) fn objects_of(&self, known: &OneByOne) -> (Objects, Vec<Diagnostic>) {
        let mut objects = known.newest.clone();
        let mut findings = vec![];
        for document in known.documents.values() {
            findings.extend(document.findings.iter().cloned());
            let refused = document.id.as_ref().filter(|_| document.object.is_none());
            if let Some(good) = refused.and_then(|id| self.good.get(id)) {
                objects.insert(good.id.clone(), good.clone());
            }
        }
        (objects, findings)
    }
}

/// Objects that come one by one. Of others' of which nothing is wrong nothing else is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct OneByOne {
    /// The newest versions of those that can be objects.
    pub(super) newest: Objects,
    /// Our own, and those of which something is wrong, by the names of their files.
    pub(super) documents: PersistentMap<String, Arc<Document>>,
    pub(super) changes: Changes,
    /// What changed since a mark, where there is one.
    since_mark: Option<Changes>,
}

/// What changed since objects were last accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) objects: BTreeSet<ObjectRef>,
    /// Whether something is, or was, wrong with one of them.
    pub(crate) are_flawed: bool,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && !self.are_flawed
    }

    fn note(&mut self, object: Option<&ObjectRef>, is_flawed: bool) {
        self.objects.extend(object.cloned());
        self.are_flawed |= is_flawed;
    }
}

impl OneByOne {
    fn note(&mut self, object: Option<&ObjectRef>, is_flawed: bool) {
        for changes in self.since_mark.iter_mut().chain([&mut self.changes]) {
            changes.note(object, is_flawed);
        }
    }

    fn put(&mut self, document: Document) -> bool {
        let name = document.place.file.clone();
        let is_flawed = document.is_flawed();
        let is_same = match self.documents.get(&name) {
            Some(known) => known.says_the_same(&document),
            None => !is_flawed && self.holds(&document),
        };
        if is_same {
            return false;
        }
        match (&document.id, &document.object) {
            (Some(id), Some(object)) => self.newest.insert(id.clone(), object.clone()),
            (Some(id), None) => drop(self.newest.remove(id)),
            (None, _) => {}
        }
        let was_flawed = self.documents.get(&name).is_some_and(|it| it.is_flawed());
        self.note(document.id.as_ref(), is_flawed || was_flawed);
        let is_own = document.id.as_ref().is_some_and(|id| id.kind.is_own());
        match is_flawed || is_own {
            true => self.documents.insert(name, Arc::new(document)),
            false => drop(self.documents.remove(&name)),
        }
        true
    }

    fn holds(&self, document: &Document) -> bool {
        let known = document.id.as_ref().and_then(|id| self.newest.get(id));
        let pair = known.zip(document.object.as_ref());
        pair.is_some_and(|(one, other)| one.is_same(other))
    }

    fn remove(&mut self, id: &ObjectRef) -> bool {
        let document = self.documents.remove(&id.to_string());
        let was_there = self.newest.remove(id).is_some();
        self.note(Some(id), document.as_ref().is_some_and(|it| it.is_flawed()));
        was_there || document.is_some()
    }

    fn of_kind(&self, kind: Kind) -> BTreeSet<ObjectRef> {
        let newest = self.newest.of_kind(kind).map(|object| &object.id);
        let documents = self.documents.values().filter_map(|it| it.id.as_ref());
        let documents = documents.filter(|id| id.kind == kind);
        newest.chain(documents).cloned().collect()
    }

    /// Whether there is such an object, whatever is wrong with it.
    pub(super) fn has(&self, object: &Object) -> bool {
        self.newest.contains_key(&object.id) || self.documents.contains_key(&object.file.name)
    }
}

impl Document {
    fn is_flawed(&self) -> bool {
        self.object.is_none() || !self.findings.is_empty()
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let is_same = match (&self.object, &other.object) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        };
        let names = (&self.id, &self.revision) == (&other.id, &other.revision);
        is_same && names && self.findings == other.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(name: &str, codec: &str) -> Decoded {
        let id = ObjectRef::new(Kind::ApplicationProtocol, "", name);
        let text = format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
             metadata: {{name: {name}}}\nspec: {{protocol: {name}, codec: {codec}}}\n"
        );
        let name = id.to_string();
        let file = Arc::new(SourceFile { name, text });
        decode_file(&file).pop().expect("one document")
    }

    fn names(index: &Index) -> Vec<String> {
        let (objects, _) = index.objects();
        objects.keys().map(|id| id.name.to_string()).collect()
    }

    #[test]
    fn only_what_says_something_else_is_a_change() {
        for index in [Index::default(), Index::one_by_one()] {
            changes(index);
        }
    }

    fn changes(mut index: Index) {
        assert!(index.put(decoded("a", "dubbo")));
        assert!(!index.put(decoded("a", "dubbo")));
        assert!(index.put(decoded("a", "thrift")));
        // Refused, and refused again for the same reason.
        assert!(index.put(decoded("a", "''")));
        assert!(!index.put(decoded("a", "''")));
        assert!(index.remove(&ObjectRef::new(Kind::ApplicationProtocol, "", "a")));
        assert!(!index.remove(&ObjectRef::new(Kind::ApplicationProtocol, "", "a")));
    }

    #[test]
    fn a_file_stands_before_the_objects_that_it_names() {
        let mut index = Index::default();
        index.put(decoded("a", "x"));
        index.put(decoded("b", "x"));
        let file = |codec: &str| SourceFile {
            name: "f.yaml".into(),
            text: format!(
                "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
                 metadata: {{name: a}}\nspec: {{protocol: a, codec: {codec}}}\n"
            ),
        };
        for (codec, expected) in [("y", &["a", "b"][..]), ("[1]", &["b"])] {
            let contents = Contents {
                files: [("f.yaml".to_owned(), Arc::new(file(codec)))].into(),
                problems: vec![],
            };
            index.overlay(contents);
            assert_eq!(names(&index), expected);
        }
        let (_, findings) = index.objects();
        let place = findings.first().and_then(|it| it.place.as_ref());
        assert_eq!(place.map(|it| it.to_string()), Some("f.yaml:4:28".into()));
    }

    #[test]
    fn a_list_takes_away_what_it_leaves_out_of_its_own_kind() {
        let mut index = Index::one_by_one();
        let kind = Kind::ApplicationProtocol;
        assert!(index.replace(kind, vec![decoded("a", "x"), decoded("b", "x")]));
        assert!(!index.replace(kind, vec![decoded("b", "x"), decoded("a", "x")]));
        assert!(index.replace(kind, vec![decoded("b", "x"), decoded("c", "x")]));
        assert_eq!(names(&index), ["b", "c"]);
        assert!(!index.replace(Kind::MetaRouter, vec![]));
        assert_eq!(names(&index), ["b", "c"]);
    }
}
