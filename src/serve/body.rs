//! What an answer holds: bytes that are there, or a part of a file that is read as the client takes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::{Semaphore, mpsc};

use crate::error::{Error, Result};
use crate::live::OpenFile;

/// How many bytes of a file are read at once.
const STEP: usize = 512 << 10;

/// The body of an answer.
pub(super) enum AnswerBody {
    Whole(Option<Bytes>),
    File { first: Option<Bytes>, rest: mpsc::Receiver<io::Result<Bytes>>, left: u64 },
}

impl AnswerBody {
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

/// A part of a file that is being read.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: Arc<OpenFile>,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Part {
    /// Reads the next bytes of it.
    fn next(&mut self) -> Result<Bytes> {
        let step = usize::try_from(self.length).unwrap_or(usize::MAX).min(STEP);
        let mut bytes = vec![0; step];
        let read = self.file.read_at(self.start, &mut bytes)?;
        if read < step {
            return Err(Error::not_restored(
                String::from_utf8_lossy(&self.file.entry().path),
                "it ends before the length that it has",
            ));
        }
        self.start = self.start.saturating_add(step as u64);
        self.length -= step as u64;
        Ok(bytes.into())
    }
}

/// A body that is a part of a file. The first bytes are read here, so that an answer that cannot be given fails as a whole, and
/// short ones go out together with their header. At most `reads` parts are read at once.
pub(super) async fn of_file(part: Part, reads: Arc<Semaphore>) -> Result<AnswerBody> {
    if part.length == 0 {
        return Ok(AnswerBody::empty());
    }
    let (first, mut part) = read(part, &reads).await?;
    if part.length == 0 {
        return Ok(AnswerBody::whole(first));
    }
    let left = part.length.saturating_add(first.len() as u64);
    let (sender, rest) = mpsc::channel(1);
    tokio::spawn(async move {
        while part.length > 0 {
            // A client that went away is noticed before more is read for it.
            let Ok(place) = sender.reserve().await else { return };
            match read(part, &reads).await {
                Ok((bytes, after)) => {
                    part = after;
                    place.send(Ok(bytes));
                }
                Err(error) => {
                    place.send(Err(io::Error::other(error.message())));
                    return;
                }
            }
        }
    });
    Ok(AnswerBody::File { first: Some(first), rest, left })
}

async fn read(mut part: Part, reads: &Semaphore) -> Result<(Bytes, Part)> {
    let _place = reads.acquire().await.map_err(|_| Error::Interrupted)?;
    let read = tokio::task::spawn_blocking(move || part.next().map(|bytes| (bytes, part)));
    read.await.map_err(|_| Error::WorkerStopped)?
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File { first, rest, left } => {
                if let Some(first) = first.take() {
                    *left = left.saturating_sub(first.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                rest.poll_recv(context).map(|bytes| {
                    let bytes = bytes?;
                    if let Ok(bytes) = &bytes {
                        *left = left.saturating_sub(bytes.len() as u64);
                    }
                    Some(bytes.map(Frame::data))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
        })
    }
}
