//! Request bodies for a workerd process, in the format of `envelope.js`: a text, and parts that are not copied.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The body of a request, in pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Pieces {
    /// A body of these bytes.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let mut pieces = Self::default();
        pieces.push(bytes.into());
        pieces
    }

    /// An envelope.
    pub fn envelope(text: String, parts: Vec<Bytes>) -> Self {
        let text = Bytes::from(text);
        let lengths = [parts.len(), text.len()].into_iter().chain(parts.iter().map(Bytes::len));
        // All lengths are bounded far below what four bytes can hold.
        let head =
            lengths.flat_map(|length| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()).collect::<Vec<_>>();
        let mut pieces = Self::of(head);
        pieces.push(text);
        for part in parts {
            pieces.push(part);
        }
        pieces
    }

    fn push(&mut self, bytes: Bytes) {
        self.left += bytes.len() as u64;
        if !bytes.is_empty() {
            self.pieces.push_back(bytes);
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_envelope_is_as_the_worker_reads_it() {
        let envelope = Pieces::envelope("[]".into(), vec![Bytes::from_static(b"abc"), Bytes::new()]);
        assert_eq!(envelope.size_hint().exact(), Some(21));
        let bytes = envelope.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.as_ref(), b"\x02\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0[]abc");
    }
}
