//! Objects that are sent in parts: each can be seen once it is complete.

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{PutMultipartOptions, PutPayload};

use super::Objects;
use super::objects::{Notes, attributes};
use super::tasks::{Started, within};
use crate::storage::{Result, StorageError, StorageErrorKind};

/// An object that is being sent.
#[derive(Debug)]
pub struct Upload {
    key: String,
    path: Path,
    id: String,
    parts: Vec<Option<PartId>>,
}

/// A part that is on its way.
#[derive(Debug)]
pub struct Part {
    number: usize,
    payload: PutPayload,
    started: Started<PartId>,
}

impl Objects {
    /// Begins to send an object. What is there under the key stays until [`complete`](Self::complete).
    ///
    /// # Errors
    /// If the store does not take it.
    pub fn begin_upload(&self, key: &str, notes: &Notes) -> Result<Upload> {
        let path = self.path(key, "write")?;
        let id = self.again("write", key, |objects| {
            let (uploads, path) = (objects.client.uploads.clone(), path.clone());
            let mut options = PutMultipartOptions::default();
            if objects.notes_parts() {
                options.attributes = attributes(notes);
            }
            objects.tasks.run(within(objects.patience.least(), async move {
                uploads.create_multipart_opts(&path, options).await
            }))
        })?;
        Ok(Upload { key: key.into(), path, id, parts: Vec::new() })
    }

    /// Begins to send the next part.
    pub fn send_part(&self, upload: &mut Upload, bytes: Vec<u8>) -> Part {
        let number = upload.parts.len();
        upload.parts.push(None);
        self.sends(bytes.len());
        let payload = PutPayload::from(bytes);
        let started = self.tasks.start(self.part(upload, number, payload.clone()));
        Part { number, payload, started }
    }

    /// Waits until a part is there. What failed for now is tried again.
    ///
    /// # Errors
    /// If the store does not take it.
    pub fn sent(&self, upload: &mut Upload, part: Part) -> Result<()> {
        let done = match part.started.wait() {
            Err(failed) if failed.is_passing() => self.again("write", &upload.key, |objects| {
                objects.tasks.run(objects.part(upload, part.number, part.payload.clone()))
            }),
            done => done.map_err(|failed| self.error(failed, "write", &upload.key)),
        }?;
        if let Some(place) = upload.parts.get_mut(part.number) {
            *place = Some(done);
        }
        Ok(())
    }

    fn part(
        &self,
        upload: &Upload,
        number: usize,
        payload: PutPayload,
    ) -> impl Future<Output = std::result::Result<PartId, super::tasks::Failed>> + Send + 'static + use<> {
        let (uploads, path, id) = (self.client.uploads.clone(), upload.path.clone(), upload.id.clone());
        let patience = self.patience.for_bytes(payload.content_length() as u64);
        within(patience, async move { uploads.put_part(&path, &id, number, payload).await })
    }

    /// Puts the object in place of whatever has the key. All parts must have been [`sent`](Self::sent).
    ///
    /// # Errors
    /// [`UnknownOutcome`](StorageErrorKind::UnknownOutcome) where an answer was lost and the upload is not known any more: the
    /// object may be there. Others if the store does not take it.
    pub fn complete(&self, upload: &Upload) -> Result<()> {
        let parts: Option<Vec<PartId>> = upload.parts.iter().cloned().collect();
        let parts = parts.ok_or_else(|| {
            StorageError::new(StorageErrorKind::Other, "write")
                .at(self.url(&upload.key))
                .because("not all of its parts were sent")
        })?;
        let attempts = std::cell::Cell::new(0);
        let done = self.again("write", &upload.key, |objects| {
            attempts.set(attempts.get() + 1);
            let (uploads, path, id, parts) =
                (objects.client.uploads.clone(), upload.path.clone(), upload.id.clone(), parts.clone());
            // The store puts together what may be long.
            let patience = objects.patience.least().saturating_mul(5);
            objects
                .tasks
                .run(within(patience, async move { uploads.complete_multipart(&path, &id, parts).await.map(drop) }))
        });
        match done {
            Err(error) if attempts.get() > 1 && !error.kind().is_passing() => {
                Err(error.turned_into(StorageErrorKind::UnknownOutcome))
            }
            Err(error) if error.kind().is_passing() => Err(error.turned_into(StorageErrorKind::UnknownOutcome)),
            done => done,
        }
    }

    /// Gives an upload up. That this fails means only that the store keeps its parts, until its own rules remove them.
    pub fn abort(&self, upload: &Upload) {
        let (uploads, path, id) = (self.client.uploads.clone(), upload.path.clone(), upload.id.clone());
        let patience = self.patience.least();
        let _ = self.tasks.run(within(patience, async move { uploads.abort_multipart(&path, &id).await }));
    }
}
