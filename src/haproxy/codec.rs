//! Finding the end of a reply in prompt mode.

use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;
use zeroize::Zeroize;

/// The longest reply that is read, in bytes: a map of a million entries.
pub(super) const MAX_REPLY: usize = 64 * 1024 * 1024;

/// Cuts a stream into replies (management guide, section 9.3, `prompt`).
///
/// A reply ends with a line end and `> `. Its text has a line end of its own before that, but for an empty text, and for a
/// description so long that it was cut. While a payload is read, versions up to 3.0 emit `+ ` for each of its lines before the
/// text. What is not UTF-8 is replaced: no reply that matters contains it.
#[derive(Debug, Default)]
pub(super) struct ReplyCodec {
    /// Up to here the text has been searched for its end.
    searched: usize,
}

/// Why a stream cannot be cut into replies.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("the reply is longer than {MAX_REPLY} bytes")]
    TooLong,
    #[error("the stream failed")]
    Io(#[from] std::io::Error),
}

const END: &[u8] = b"\n> ";
const ECHO: &[u8] = b"+ ";

impl Decoder for ReplyCodec {
    type Item = String;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, CodecError> {
        if self.searched == 0 {
            while buffer.starts_with(ECHO) {
                buffer.advance(ECHO.len());
            }
            // One more `+ ` may be on its way.
            if buffer.len() < ECHO.len() {
                return Ok(None);
            }
        }
        // The end may begin in what was searched before.
        let from = self.searched.saturating_sub(END.len() - 1);
        if let Some(at) = buffer[from..].windows(END.len()).position(|window| window == END) {
            self.searched = 0;
            let mut reply = buffer.split_to(from + at + END.len());
            // 2.6 sometimes ends with one line more.
            let text = String::from_utf8_lossy(&reply[..from + at]).trim_end_matches('\n').to_owned();
            // There may be a private key in it, or session ticket keys.
            reply.zeroize();
            return Ok(Some(text));
        }
        self.searched = buffer.len();
        if buffer.len() > MAX_REPLY { Err(CodecError::TooLong) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes what comes in pieces.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut codec, mut buffer, mut replies) = (ReplyCodec::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(reply) = codec.decode(&mut buffer).unwrap() {
                replies.push(reply);
            }
        }
        replies
    }

    #[test]
    fn replies_of_each_version_are_cut_where_they_end() {
        let stream = b"\n> + + + Transaction created for certificate F!\n\n> Certificate 'F' deleted!\n\n\n> + \n> # filename\nF\n\n> ";
        let expected = ["", "Transaction created for certificate F!", "Certificate 'F' deleted!", "", "# filename\nF"];
        assert_eq!(decode([&stream[..]]), expected);
        assert_eq!(decode(stream.chunks(1)), expected);
    }

    #[test]
    fn a_text_that_was_cut_ends_at_its_prompt() {
        let stream = b"Filename: F\nSubject Alternative Name: DNS:a.te\n> Filename: G > H\n\n> ";
        let expected = ["Filename: F\nSubject Alternative Name: DNS:a.te", "Filename: G > H"];
        assert_eq!(decode([&stream[..]]), expected);
        assert_eq!(decode(stream.chunks(1)), expected);
    }

    #[test]
    fn a_reply_without_end_is_refused() {
        let mut buffer = BytesMut::from(&vec![b'x'; MAX_REPLY + 1][..]);
        assert!(matches!(ReplyCodec::default().decode(&mut buffer), Err(CodecError::TooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_survived_and_cut_alike(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'>'), Just(b' '), Just(b'+'), any::<u8>()], 0..400),
            size in 1_usize..20,
        ) {
            prop_assert_eq!(decode([&bytes[..]]), decode(bytes.chunks(size)));
        }

        #[test]
        fn every_reply_arrives_whole(texts in proptest::collection::vec("[a-z!.']{1,20}(\n[a-z][a-z> ]{0,20}){0,3}", 0..8), size in 1_usize..20) {
            let stream: String = texts.iter().flat_map(|text| ["+ + ", text.as_str(), "\n\n> "]).collect();
            prop_assert_eq!(decode(stream.as_bytes().chunks(size)), texts);
        }
    }
}
