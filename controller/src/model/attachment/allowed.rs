//! Whose rules a listener of the Gateway API admits.

use meltemi_policy::subset;

use crate::index::Objects;
use crate::manifest::{AllowedRoutes, Kind, ObjectRef};

/// Whether a listener of its own namespace admits another one.
pub(in crate::model) fn admits(
    allowed: &AllowedRoutes,
    (own, namespace): (&str, &str),
    objects: &Objects,
) -> bool {
    match allowed {
        AllowedRoutes::All => true,
        AllowedRoutes::Same => own == namespace,
        AllowedRoutes::Selector(labels) => {
            let id = ObjectRef::new(Kind::Namespace, "", namespace);
            let object = objects.get(&id);
            object.is_some_and(|object| subset::selects(labels, &object.metadata.labels))
        }
        AllowedRoutes::Nobody(_) => false,
    }
}
