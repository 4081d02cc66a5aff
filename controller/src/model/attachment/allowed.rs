//! Whose rules a listener of the Gateway API admits.

use meltemi_policy::subset;

use super::super::Server;
use crate::index::Objects;
use crate::manifest::{AllowedRoutes, Kind, ObjectRef};

pub(super) fn admits(server: &Server, namespace: &str, objects: &Objects) -> bool {
    match &server.allowed {
        None | Some(AllowedRoutes::All) => true,
        Some(AllowedRoutes::Same) => *server.name.namespace == *namespace,
        Some(AllowedRoutes::Selector(labels)) => {
            let id = ObjectRef::new(Kind::Namespace, "", namespace);
            let object = objects.get(&id);
            object.is_some_and(|object| subset::selects(labels, &object.metadata.labels))
        }
        Some(AllowedRoutes::Nobody(_)) => false,
    }
}
