//! Objects in, incremental: the newest version of each object, and the last good one.
//!
//! No client and no clock: files go in, changed objects come out as a set for the model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Place, SourceFile};
use crate::manifest::{Decoded, Kind, Object, ObjectRef, decode_file};
use crate::source::Contents;

#[cfg(feature = "kubernetes")]
mod objects;
mod set;

#[cfg(feature = "kubernetes")]
use objects::OneByOne;
pub(crate) use set::{Objects, OfKind};

/// What the sources hold, decoded, file by file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    files: BTreeMap<String, IndexedFile>,
    problems: Vec<Diagnostic>,
    /// The last version of each object that took effect.
    good: Objects,
    /// Where objects come one by one.
    #[cfg(feature = "kubernetes")]
    one_by_one: Option<OneByOne>,
}

#[derive(Clone, Debug)]
struct IndexedFile {
    source: Arc<SourceFile>,
    documents: Vec<Document>,
}

#[derive(Clone, Debug)]
struct Document {
    id: Option<ObjectRef>,
    place: Place,
    revision: Option<String>,
    object: Option<Arc<Object>>,
    findings: Vec<Diagnostic>,
}

impl Document {
    fn new(decoded: Decoded) -> Self {
        Self {
            place: decoded.place,
            id: decoded.id,
            revision: decoded.revision,
            object: decoded.object.map(Arc::new),
            findings: decoded.findings,
        }
    }
}

impl Index {
    /// Takes over what the source holds now, and decodes only files that changed. Says whether
    /// anything did.
    pub(crate) fn update(&mut self, contents: Contents) -> bool {
        let mut changed = self.problems != contents.problems;
        self.problems = contents.problems;
        let count = self.files.len();
        let problems = &self.problems;
        self.files.retain(|name, _| {
            contents.files.contains_key(name) || problems.iter().any(|p| is_out_of_sight(name, p))
        });
        changed |= count != self.files.len();
        for (name, source) in contents.files {
            if self
                .files
                .get(&name)
                .is_some_and(|known| known.source.text == source.text)
            {
                continue;
            }
            changed = true;
            let decoded = decode_file(&source);
            let documents = decoded.into_iter().map(Document::new).collect();
            self.files.insert(name, IndexedFile { source, documents });
        }
        changed
    }

    /// The newest version of each object, its last good version where the newest is refused, and
    /// what is wrong.
    pub(crate) fn objects(&self) -> (Objects, Vec<Diagnostic>) {
        #[cfg(feature = "kubernetes")]
        if let Some(known) = &self.one_by_one {
            return self.objects_of(known);
        }
        let mut findings = self.problems.clone();
        let mut by_id: BTreeMap<&ObjectRef, Vec<&Document>> = BTreeMap::new();
        let mut objects = Objects::new();
        // A file that is broken may hold any of the objects that it held before.
        let documents = self.files.values().flat_map(|f| &f.documents);
        for document in documents {
            findings.extend(document.findings.iter().cloned());
            if let Some(id) = &document.id {
                by_id.entry(id).or_default().push(document);
            }
        }
        for (id, documents) in by_id {
            // Of several the one that was there, else the first.
            let is_known = |d: &&&Document| d.object.as_ref().is_some_and(|o| self.is_in_force(o));
            let known = documents.iter().find(is_known);
            let Some(counts) = known.or(documents.first()) else {
                continue;
            };
            let others = documents.iter().filter(|d| !std::ptr::eq(**d, *counts));
            findings.extend(others.map(|other| duplicate(id, &counts.place, &other.place)));
            if let Some(object) = counts.object.as_ref().or_else(|| self.good.get(id)) {
                objects.insert(id.clone(), object.clone());
            }
        }
        self.keep_lost(&mut objects);
        (objects, findings)
    }

    /// Objects of a document that is not even YAML any more cannot be told from deleted ones by
    /// name; they stay, since the file is there and says nothing valid about them.
    fn keep_lost(&self, objects: &mut Objects) {
        for object in self.good.values() {
            let broken = self.files.get(&object.file.name).is_some_and(|file| {
                file.documents
                    .iter()
                    .any(|d| d.id.is_none() && d.has_error())
            });
            if broken && !objects.contains_key(&object.id) {
                objects.insert(object.id.clone(), object.clone());
            }
        }
    }

    /// The newest versions of objects of our own kinds, whether they can be read or not: whose each says that it is, and
    /// where it stands.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&ObjectRef, Option<&str>, &Place)> {
        self.documents().filter_map(|document| {
            let id = document.id.as_ref().filter(|id| id.kind.is_own())?;
            Some((id, document.revision.as_deref(), &document.place))
        })
    }

    /// The newest version of each object that can be read.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &Arc<Object>> {
        let documents = self.files.values().flat_map(|file| &file.documents);
        let readable = documents.filter_map(|document| document.object.as_ref());
        #[cfg(feature = "kubernetes")]
        let readable = {
            let one_by_one = self.one_by_one.iter();
            readable.chain(one_by_one.flat_map(|known| known.newest.values()))
        };
        readable
    }

    /// All of files; of objects that come one by one our own, and whatever something is wrong with.
    fn documents(&self) -> impl Iterator<Item = &Document> {
        let documents = self.files.values().flat_map(|file| &file.documents);
        #[cfg(feature = "kubernetes")]
        let documents = {
            let one_by_one = self.one_by_one.iter();
            let one_by_one = one_by_one.flat_map(|known| known.documents.values());
            documents.chain(one_by_one.map(|document| &**document))
        };
        documents
    }

    /// What is not there since it was refused, and has no earlier version.
    pub(crate) fn refused(&self) -> Refused {
        let mut refused = Refused::default();
        for document in self.documents() {
            match &document.id {
                Some(id) if document.object.is_none() && !self.good.contains_key(id) => {
                    refused.kinds.insert(id.kind);
                }
                None if document.has_error() => refused.unnamed = true,
                _ => {}
            }
        }
        refused
    }

    /// The last version of an object that took effect.
    pub(crate) fn last_good(&self, id: &ObjectRef) -> Option<Arc<Object>> {
        self.good.get(id).cloned()
    }

    /// The last versions that took effect, of all objects.
    pub(crate) fn good(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.good.values()
    }

    pub(crate) fn good_count(&self) -> usize {
        self.good.len()
    }

    /// Whether what an object was read from is there, whatever it says by now.
    pub(crate) fn has_source(&self, object: &Object) -> bool {
        #[cfg(feature = "kubernetes")]
        if let Some(known) = &self.one_by_one {
            return known.has(object);
        }
        self.files.contains_key(&object.file.name)
    }

    /// Whether this very version of the object took effect before.
    pub(crate) fn is_in_force(&self, object: &Object) -> bool {
        self.good
            .get(&object.id)
            .is_some_and(|good| good.is_same(object))
    }

    /// Remembers the objects that took effect; all others are forgotten.
    pub(crate) fn accept(&mut self, objects: &Objects) {
        self.good.clone_from(objects);
        #[cfg(feature = "kubernetes")]
        if let Some(known) = &mut self.one_by_one {
            known.changes = objects::Changes::default();
        }
    }
}

/// Whether a file may still be there although it was not read: it, or the directory that it is in,
/// cannot be read just now. What is out of sight is not withdrawn.
fn is_out_of_sight(name: &str, problem: &Diagnostic) -> bool {
    let Some(place) = problem
        .place
        .as_ref()
        .filter(|_| problem.code == Code::CannotRead)
    else {
        return false;
    };
    let (file, unreadable) = (Path::new(name), Path::new(&place.file));
    if file == unreadable {
        file.exists()
    } else {
        file.starts_with(unreadable)
    }
}

impl Document {
    fn has_error(&self) -> bool {
        self.findings.iter().any(Diagnostic::is_error)
    }
}

/// The kinds of what was refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) kinds: BTreeSet<Kind>,
    /// Whether there are refused documents of which not even the kind is known.
    pub(crate) unnamed: bool,
}

fn duplicate(id: &ObjectRef, counts: &Place, other: &Place) -> Diagnostic {
    Diagnostic::error(Code::DuplicateObject, format!("there are two of {id}"))
        .at(other.clone())
        .of(id)
        .related("this is the one that counts", counts.clone())
        .remedy("remove one of the two, or rename it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(files: &[(&str, &str)]) -> Contents {
        let file = |name: &str, text: &str| {
            Arc::new(SourceFile {
                name: name.to_owned(),
                text: text.to_owned(),
            })
        };
        let files = files
            .iter()
            .map(|&(n, t)| (n.to_owned(), file(n, t)))
            .collect();
        Contents {
            files,
            problems: vec![],
        }
    }

    fn protocol(name: &str, codec: &str) -> String {
        format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
             metadata: {{name: {name}}}\nspec: {{protocol: {name}, codec: {codec}}}\n"
        )
    }

    /// Names and codecs of what is in force.
    fn in_force(index: &mut Index) -> (Vec<String>, Vec<Code>) {
        let (objects, findings) = index.objects();
        index.accept(&objects);
        let names = objects
            .values()
            .map(|o| match &o.spec {
                crate::manifest::Spec::ApplicationProtocol(p) => {
                    format!("{}={}", o.id.name, p.codec.value)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        (names, findings.iter().map(|f| f.code).collect())
    }

    #[test]
    fn a_refused_object_keeps_its_last_good_version_and_a_deleted_one_goes() {
        let mut index = Index::default();
        let good = format!("{}---\n{}", protocol("a", "x"), protocol("b", "x"));
        assert!(index.update(contents(&[("f.yaml", &good)])));
        assert!(!index.update(contents(&[("f.yaml", &good)])));
        assert_eq!(
            in_force(&mut index),
            (vec!["a=x".into(), "b=x".into()], vec![])
        );

        let bad = format!("{}---\n{}", protocol("a", "[1]"), protocol("b", "y"));
        assert!(index.update(contents(&[("f.yaml", &bad)])));
        let (names, codes) = in_force(&mut index);
        assert_eq!(
            (names, codes),
            (vec!["a=x".into(), "b=y".into()], vec![Code::WrongType])
        );

        let broken = "a: [1\n".to_owned();
        index.update(contents(&[("f.yaml", &broken)]));
        let (names, codes) = in_force(&mut index);
        assert_eq!(
            (names, codes),
            (vec!["a=x".into(), "b=y".into()], vec![Code::InvalidYaml])
        );

        index.update(contents(&[("f.yaml", &protocol("b", "z"))]));
        assert_eq!(in_force(&mut index), (vec!["b=z".into()], vec![]));
        index.update(contents(&[]));
        assert_eq!(in_force(&mut index), (vec![], vec![]));
    }

    #[test]
    fn an_object_that_is_there_twice_counts_once_and_both_places_are_named() {
        let mut index = Index::default();
        index.update(contents(&[
            ("1.yaml", &protocol("a", "x")),
            ("2.yaml", &protocol("a", "y")),
        ]));
        let (objects, findings) = index.objects();
        assert_eq!(objects.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "error[DuplicateObject]: there are two of ApplicationProtocol a\n --> 2.yaml:3:18\n  |\n\
             3 | metadata: {name: a}\n  |                  ^\n ::: 1.yaml:3:18\n  |\n\
             3 | metadata: {name: a}\n  |                  ^ this is the one that counts\n  = in: ApplicationProtocol a\n  = help: remove one of the two, or rename it"
        );
        assert_eq!(in_force(&mut index).0, ["a=x"]);
        // Whatever the files are called, the one that was there stays.
        let again = [
            ("0.yaml", protocol("a", "z")),
            ("1.yaml", protocol("a", "x")),
        ];
        index.update(contents(&again.each_ref().map(|(n, t)| (*n, t.as_str()))));
        assert_eq!(
            in_force(&mut index),
            (vec!["a=x".into()], vec![Code::DuplicateObject])
        );
    }
}
