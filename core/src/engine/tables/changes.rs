//! What a route changes in messages, as far as that is known before there is one.

use std::{borrow::Cow, rc::Rc};

use meltemi_codec::{AttributeKey, Edit};
use meltemi_policy::Template;

use crate::config::Mutation;

/// Changes of a route's requests, or of its answers.
#[derive(Debug, Default)]
pub(in crate::engine) struct Changes {
    steps: Vec<Step>,
    /// The same, where no message decides what they are.
    fixed: Option<Rc<Vec<Edit>>>,
}

#[derive(Debug)]
enum Step {
    Fixed(Edit),
    /// The value has those of the request's attributes in it.
    Set {
        name: Box<str>,
        value: Template<AttributeKey>,
    },
}

impl Changes {
    /// Those edits, then those mutations.
    pub(super) fn new(
        edits: Vec<Edit>,
        mutations: &[Mutation],
        resolve: impl Fn(&str) -> AttributeKey,
    ) -> Self {
        let mutations = mutations.iter().map(|mutation| {
            let name = mutation.key.as_str().into();
            match &mutation.value {
                None => Step::Fixed(Edit::Remove { name }),
                Some(value) if value.attributes().next().is_none() => Step::Fixed(Edit::Set {
                    name,
                    value: value.render(|_| None).into(),
                }),
                Some(value) => Step::Set {
                    name,
                    value: value.resolve(|attribute| resolve(attribute)),
                },
            }
        });
        let steps: Vec<_> = edits
            .into_iter()
            .map(Step::Fixed)
            .chain(mutations)
            .collect();
        let fixed = steps.iter().map(|step| match step {
            Step::Fixed(edit) => Some(edit.clone()),
            Step::Set { .. } => None,
        });
        let fixed: Option<Vec<_>> = fixed.collect();
        Self {
            fixed: fixed.map(Rc::new),
            steps,
        }
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Those that do not hang on a message.
    pub(in crate::engine) fn fixed(&self) -> impl Iterator<Item = &Edit> {
        self.steps.iter().filter_map(|step| match step {
            Step::Fixed(edit) => Some(edit),
            Step::Set { .. } => None,
        })
    }

    /// What they are for a request with these attributes. A value that comes out empty changes
    /// nothing.
    ///
    /// Source of the rule: Envoy adds no header whose formatted value is empty.
    pub(in crate::engine) fn of<'m>(
        &self,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Rc<Vec<Edit>> {
        if let Some(fixed) = &self.fixed {
            return Rc::clone(fixed);
        }
        let edits = self.steps.iter().filter_map(|step| match step {
            Step::Fixed(edit) => Some(edit.clone()),
            Step::Set { name, value } => {
                let value = value.render(&attribute);
                let name = name.clone();
                (!value.is_empty()).then(|| Edit::Set {
                    name,
                    value: value.into(),
                })
            }
        });
        Rc::new(edits.collect())
    }
}
