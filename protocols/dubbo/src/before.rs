//! The call before. Consecutive calls of a connection are nearly always of one method with the same
//! attachments, so both ends of a body are compared with those of the call before, and read only
//! where they differ. What lies between, the arguments, is skipped each time: where the attachments
//! begin depends on it.

use dubbo_rs_codec::{Request as CallBody, RequestLayout, SerializationId};

use meltemi_codec::Alike;

use crate::call::Found;

/// Of a call with longer ends (bytes, both together) nothing is kept.
const LONGEST: usize = 1024;

/// What is kept of a connection's newest call.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// The strings before its arguments, then its attachments.
    ends: Vec<u8>,
    call: Option<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    serialization: SerializationId,
    /// How many bytes the strings are.
    head: usize,
    /// Where they are.
    layout: RequestLayout,
    /// What the attachments say.
    found: Found,
    /// Its first argument names the method.
    is_generic: bool,
}

impl Before {
    /// A body that begins as that of the call before.
    #[inline]
    pub(crate) fn begins<'a>(
        &self,
        serialization: SerializationId,
        body: &'a [u8],
    ) -> Option<CallBody<'a>> {
        let kept = self.call.as_ref()?;
        let head = self.ends.get(..kept.head)?;
        let same = kept.serialization == serialization && body.starts_with(head);
        same.then(|| CallBody::with_layout(body, kept.layout))
    }

    /// What the attachments of this body say, and how far its call has the attributes of the call before,
    /// if both its ends are that one's: what reading it would tell.
    #[inline]
    pub(crate) fn again(
        &self,
        serialization: SerializationId,
        body: &[u8],
    ) -> Option<(Found, Alike)> {
        let mut view = self.begins(serialization, body)?;
        let at = view.locate_attachments().ok()?;
        let stands_alone = view.attachments_stand_alone();
        self.ends(body.get(at..)?).filter(|_| stands_alone)
    }

    /// Where the strings of the call before are.
    pub(crate) fn layout(&self) -> Option<RequestLayout> {
        self.call.as_ref().map(|kept| kept.layout)
    }

    /// What attachments say that are those of the call before, and how far a call that has them, and
    /// [`begins`](Self::begins) as that one, has its attributes.
    #[inline]
    pub(crate) fn ends(&self, attachments: &[u8]) -> Option<(Found, Alike)> {
        let kept = self.call.as_ref()?;
        let same = self.ends.get(kept.head..)? == attachments;
        let alike = match kept.is_generic {
            true => Alike::No,
            false => Alike::All,
        };
        same.then_some((kept.found, alike))
    }

    /// Keeps the ends of `body`, whose strings are where `layout` says.
    pub(crate) fn keep(
        &mut self,
        (serialization, layout): (SerializationId, RequestLayout),
        (body, view): (&[u8], &CallBody<'_>),
        found: Found,
    ) {
        self.call = None;
        let (head, at) = view.bounds_of_arguments();
        let ends = body.get(..head).zip(at.and_then(|at| body.get(at..)));
        let Some((strings, attachments)) = ends else {
            return;
        };
        if !view.attachments_stand_alone() || strings.len() + attachments.len() > LONGEST {
            return;
        }
        self.ends.clear();
        self.ends.extend_from_slice(strings);
        self.ends.extend_from_slice(attachments);
        self.call = Some(Kept {
            serialization,
            head,
            layout,
            found,
            is_generic: view.is_generic(),
        });
    }

    /// The newest call is one of which nothing can be kept.
    pub(crate) fn forget(&mut self) {
        self.call = None;
    }
}
