//! Which of our objects count: those of this revision, and while an Aeraki is there, too, those of namespaces that were
//! handed over.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::index::{Index, Objects};
use crate::manifest::{Kind, ObjectRef};
use crate::schema::Settings;

/// On an object, as Istio reads it of its own: whose it is.
pub(crate) const REVISION: &str = "istio.io/rev";
/// On a namespace: whose its objects are that do not say so. There `istio.io/rev` says which Istio injects its
/// sidecars, and is another after each upgrade of Istio.
const NAMESPACE_REVISION: &str = "meltemi.io/rev";
/// On a namespace whose rules are ours although an Aeraki is there, too.
const ENABLED: &str = "meltemi.io/enabled";
/// Whose objects are that say nothing.
pub(crate) const DEFAULT: &str = "default";

/// Of what does not count.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Another revision's: nothing of them is told here.
    pub(crate) foreign: BTreeSet<ObjectRef>,
    /// Those of them that are in force all the same: what protects a service does so whoever routes its requests, unless it
    /// says itself that it is not for all.
    shared: BTreeSet<ObjectRef>,
    /// Aeraki's, unless their namespace is handed over.
    not_enabled: BTreeSet<ObjectRef>,
    told: Vec<Diagnostic>,
}

impl Standing {
    pub(crate) fn of(index: &Index, settings: &Settings) -> Self {
        if settings.revision.is_none() && !settings.beside_aeraki {
            return Self::default();
        }
        let namespaces = index.readable().filter(|it| it.id.kind == Kind::Namespace);
        let namespaces: BTreeMap<_, _> = namespaces.map(|it| (&it.id.name, it)).collect();
        let whose = Whose {
            settings,
            label: |id: &ObjectRef, label: &str| {
                let namespace = namespaces.get(&id.namespace)?;
                namespace.metadata.labels.get(label).map(String::as_str)
            },
        };
        let mut standing = Self::default();
        for (id, revision, place) in index.own() {
            if whose.is_foreign(id, revision) {
                if protects(id) && revision.is_none() {
                    standing.shared.insert(id.clone());
                }
                standing.foreign.insert(id.clone());
            } else if whose.is_not_enabled(id) {
                standing.told.push(not_enabled(id).at(place.clone()).of(id));
                standing.not_enabled.insert(id.clone());
            }
        }
        standing
    }

    /// Whether the object counts.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn counts(&self, id: &ObjectRef) -> bool {
        !self.foreign.contains(id) && !self.not_enabled.contains(id)
    }

    /// Whether one of these does not count.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn leaves_out(index: &Index, settings: &Settings, ids: &[ObjectRef]) -> bool {
        if settings.revision.is_none() && !settings.beside_aeraki {
            return false;
        }
        let whose = Whose {
            settings,
            label: |id: &ObjectRef, label: &str| {
                let namespace = ObjectRef::new(Kind::Namespace, "", &id.namespace);
                let namespace = index.newest()?.0.get(&namespace)?;
                namespace.metadata.labels.get(label).map(String::as_str)
            },
        };
        let mut ids = ids.iter();
        ids.any(|id| {
            let revision = index.revision(id);
            whose.is_foreign(id, revision) || whose.is_not_enabled(id)
        })
    }

    /// Takes away what does not count.
    pub(crate) fn leave_out(&self, objects: &mut Objects) {
        let foreign = self.foreign.difference(&self.shared);
        for id in foreign.chain(&self.not_enabled) {
            objects.remove(id);
        }
    }

    /// What is to be told of all findings, with what follows from this.
    pub(crate) fn told(&self, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let is_foreign = |it: &Diagnostic| {
            let object = it.object.as_ref();
            object.is_some_and(|id| self.foreign.contains(id))
        };
        let ours = findings.into_iter().filter(|it| !is_foreign(it));
        ours.chain(self.told.iter().cloned()).collect()
    }
}

/// Whose an object is, where `label` says what its namespace is labelled with.
struct Whose<'a, F> {
    settings: &'a Settings,
    label: F,
}

impl<'a, F: Fn(&ObjectRef, &str) -> Option<&'a str>> Whose<'a, F> {
    fn is_foreign(&self, id: &ObjectRef, revision: Option<&str>) -> bool {
        let said = || revision.or_else(|| (self.label)(id, NAMESPACE_REVISION));
        let own = self.settings.revision.as_ref();
        own.is_some_and(|own| said().unwrap_or(DEFAULT) != own)
    }

    fn is_not_enabled(&self, id: &ObjectRef) -> bool {
        self.settings.beside_aeraki
            && !protects(id)
            && id.kind.is_namespaced()
            && (self.label)(id, ENABLED).is_none_or(|value| value == "false")
    }
}

/// What protects a service does so whoever routes its requests.
fn protects(id: &ObjectRef) -> bool {
    id.kind == Kind::DubboAuthorizationPolicy
}

fn not_enabled(id: &ObjectRef) -> Diagnostic {
    let namespace = &id.namespace;
    let message = format!("Aeraki is in this cluster, too, and namespace {namespace} is its");
    let remedy = format!(
        "hand the namespace over: kubectl label namespace {namespace} {ENABLED}=true; or uninstall Aeraki"
    );
    Diagnostic::error(Code::NotEnabled, message).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::source::Contents;

    fn index(object: &str, namespace: &str) -> Index {
        of_text(format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
             metadata: {{name: a, namespace: shop, labels: {{{object}}}}}\nspec: {{hosts: [a.demo]}}\n---\n\
             apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
             metadata: {{name: p, labels: {{{object}}}}}\nspec: {{protocol: p, codec: dubbo}}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{namespace}}}}}\n"
        ))
    }

    fn of_text(text: String) -> Index {
        let name = "f.yaml".to_owned();
        let file = SourceFile {
            name: name.clone(),
            text,
        };
        let mut index = Index::default();
        index.update(Contents {
            files: [(name, Arc::new(file))].into(),
            problems: vec![],
        });
        index
    }

    /// Of a MetaRouter and an ApplicationProtocol: `=` counts, `-` is another's, `!` is not enabled.
    fn standing(labels: (&str, &str), revision: Option<&str>, beside_aeraki: bool) -> String {
        let settings = Settings {
            revision: revision.map(str::to_owned),
            beside_aeraki,
            ..Settings::new(vec![])
        };
        let index = index(labels.0, labels.1);
        let standing = Standing::of(&index, &settings);
        let (objects, _) = index.objects();
        let mut left = objects.clone();
        standing.leave_out(&mut left);
        let own = objects.values().filter(|it| it.id.kind.is_own());
        let mut found: Vec<_> = own
            .map(|object| {
                let is_foreign = standing.foreign.contains(&object.id);
                let of = match (left.contains_key(&object.id), is_foreign) {
                    (true, _) => "=",
                    (false, true) => "-",
                    (false, false) => "!",
                };
                (object.id.kind.name(), of)
            })
            .collect();
        found.sort_unstable_by_key(|(kind, _)| std::cmp::Reverse(*kind));
        found.into_iter().map(|(_, of)| of).collect()
    }

    #[test]
    fn each_object_is_one_revision_s() {
        let rows = [
            (("", ""), "==", "--"),
            (("istio.io/rev: default", ""), "==", "--"),
            (("istio.io/rev: canary", ""), "--", "=="),
            // What has no namespace is not told by one.
            (("", "meltemi.io/rev: canary"), "-=", "=-"),
            (
                ("istio.io/rev: default", "meltemi.io/rev: canary"),
                "==",
                "--",
            ),
            (("", "istio.io/rev: canary"), "==", "--"),
        ];
        for (labels, of_default, of_canary) in rows {
            assert_eq!(
                standing(labels, Some("default"), false),
                of_default,
                "{labels:?}"
            );
            assert_eq!(
                standing(labels, Some("canary"), false),
                of_canary,
                "{labels:?}"
            );
            assert_eq!(standing(labels, None, false), "==", "{labels:?}");
        }
    }

    #[test]
    fn beside_an_aeraki_a_namespace_is_handed_over() {
        let rows = [
            (("", ""), "!="),
            (("", "meltemi.io/enabled: 'true'"), "=="),
            (("", "meltemi.io/enabled: ''"), "=="),
            (("", "meltemi.io/enabled: 'false'"), "!="),
            (("istio.io/rev: canary", ""), "--"),
        ];
        for (labels, expected) in rows {
            assert_eq!(
                standing(labels, Some("default"), true),
                expected,
                "{labels:?}"
            );
        }
    }

    /// Where two revisions share a cluster, services of the one are not open because a policy is the other's.
    #[test]
    fn a_policy_protects_whoever_serves_unless_it_says_whose_it_is() {
        let rows = [
            ("", "canary", true),
            ("istio.io/rev: default", "canary", false),
            ("istio.io/rev: canary", "canary", true),
            ("", "default", true),
        ];
        for (labels, revision, is_in_force) in rows {
            let index = of_text(format!(
                "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: DubboAuthorizationPolicy\n\
                 metadata: {{name: p, namespace: shop, labels: {{{labels}}}}}\nspec: {{rules: [{{}}]}}\n"
            ));
            let settings = Settings {
                revision: Some(revision.to_owned()),
                ..Settings::new(vec![])
            };
            let standing = Standing::of(&index, &settings);
            let (objects, _) = index.objects();
            let mut left = objects.clone();
            standing.leave_out(&mut left);
            assert_eq!(left.len() == 1, is_in_force, "{labels} {revision}");
            // Its status is one controller's.
            let is_whose = labels.rsplit(' ').next().filter(|it| !it.is_empty());
            let is_own = is_whose.unwrap_or(DEFAULT) == revision;
            assert_eq!(standing.foreign.is_empty(), is_own, "{labels} {revision}");
        }
    }
}
