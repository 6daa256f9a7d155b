//! HdrHistogram's compressed V2 format, with one compressor for all histograms of a thread.
//!
//! The crate's own serializer makes a compressor for every histogram: a third of a megabyte to be filled with zeros for some
//! hundred bytes, and the same on the way back. That was a tenth of what a short run cost. The bytes are the same (a test).

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hdrhistogram::serialization::{DeserializeError, Deserializer, Serializer, V2Serializer};
use hdrhistogram::{Counter, Histogram};

/// Begins the compressed form; the number of compressed bytes follows, and they (the format's definition).
const COOKIE: u32 = 0x1c84_9314;

/// The longest plain form that is believed: some six million counts of up to nine bytes each.
const LONGEST: usize = 64 << 20;

thread_local! {
    static WORKSHOP: RefCell<Workshop> = RefCell::new(Workshop {
        plain: Vec::new(),
        packed: Vec::new(),
        compressor: Compress::new(Compression::default(), true),
        decompressor: Decompress::new(true),
        serializer: V2Serializer::new(),
        deserializer: Deserializer::new(),
    });
}

/// What is kept from one histogram to the next.
struct Workshop {
    plain: Vec<u8>,
    packed: Vec<u8>,
    compressor: Compress,
    decompressor: Decompress,
    serializer: V2Serializer,
    deserializer: Deserializer,
}

/// Writes histograms in HdrHistogram's V2 format, deflated, as [`hdrhistogram::serialization::V2DeflateSerializer`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeflateSerializer;

impl Serializer for DeflateSerializer {
    type SerializeError = io::Error;

    fn serialize<T: Counter, W: io::Write>(&mut self, h: &Histogram<T>, writer: &mut W) -> io::Result<usize> {
        WORKSHOP.with_borrow_mut(|workshop| {
            workshop.pack(h)?;
            writer.write_all(&workshop.packed)?;
            Ok(workshop.packed.len())
        })
    }
}

/// Reads what [`DeflateSerializer`] wrote, or the same format uncompressed.
///
/// # Errors
/// If the bytes are not such a histogram.
pub(super) fn read<T: Counter>(bytes: &[u8]) -> Result<Histogram<T>, DeserializeError> {
    WORKSHOP.with_borrow_mut(|workshop| match bytes.split_first_chunk::<8>() {
        Some(([a, b, c, d, length @ ..], packed)) if u32::from_be_bytes([*a, *b, *c, *d]) == COOKIE => {
            let length = u32::from_be_bytes(*length) as usize;
            workshop
                .unpack(packed.get(..length).ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?)?;
            workshop.deserializer.deserialize(&mut workshop.plain.as_slice())
        }
        _ => workshop.deserializer.deserialize(&mut &*bytes),
    })
}

impl Workshop {
    fn pack<T: Counter>(&mut self, histogram: &Histogram<T>) -> io::Result<()> {
        let Workshop { plain, packed, compressor, serializer, .. } = self;
        plain.clear();
        serializer.serialize(histogram, plain).map_err(|error| io::Error::other(error.to_string()))?;
        packed.clear();
        packed.extend(COOKIE.to_be_bytes());
        packed.extend([0; 4]);
        compressor.reset();
        loop {
            packed.reserve(plain.len() + 64);
            let done = compressor.total_in() as usize;
            let status = compressor.compress_vec(&plain[done..], packed, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let length = (packed.len() - 8) as u32;
        packed[4..8].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn unpack(&mut self, packed: &[u8]) -> io::Result<()> {
        let Workshop { plain, decompressor, .. } = self;
        plain.clear();
        decompressor.reset(true);
        loop {
            plain.reserve((4 * packed.len()).max(4096));
            let before = (decompressor.total_in(), decompressor.total_out());
            let done = before.0 as usize;
            let status = decompressor.decompress_vec(&packed[done..], plain, FlushDecompress::None)?;
            match status {
                Status::StreamEnd => return Ok(()),
                // Neither read nor wrote although there is room: the end is missing.
                _ if before == (decompressor.total_in(), decompressor.total_out()) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                _ if plain.len() > LONGEST => return Err(io::ErrorKind::InvalidData.into()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::V2DeflateSerializer;
    use proptest::prelude::*;

    fn bytes_of(serializer: &mut impl Serializer, histogram: &Histogram<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        serializer.serialize(histogram, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_crate_and_are_read_back(values in prop::collection::vec(0u64..100_000_000_000, 0..400)) {
            let mut histogram = Histogram::<u64>::new(2).unwrap();
            values.iter().for_each(|value| histogram.record(*value).unwrap());
            let bytes = bytes_of(&mut DeflateSerializer, &histogram);
            prop_assert_eq!(&bytes, &bytes_of(&mut V2DeflateSerializer::new(), &histogram));
            prop_assert_eq!(&read::<u64>(&bytes).unwrap(), &histogram);
            prop_assert_eq!(&read::<u64>(&bytes_of(&mut V2Serializer::new(), &histogram)).unwrap(), &histogram);
            // Whatever is cut off, it is an error and no panic, and the next is read all the same.
            for length in 0..bytes.len() {
                prop_assert!(read::<u64>(&bytes[..length]).is_err(), "{} of {} bytes", length, bytes.len());
            }
            prop_assert_eq!(&read::<u64>(&bytes).unwrap(), &histogram);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(noise in prop::collection::vec(any::<u8>(), 0..80)) {
            let length = (noise.len() as u32).to_be_bytes();
            let _either = read::<u64>(&[&COOKIE.to_be_bytes()[..], &length, &noise].concat());
            let _either = read::<u64>(&noise);
        }
    }
}
