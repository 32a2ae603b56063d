//! The state of a controller as bytes, from which the same controller begins anew.
//!
//! A journal that is bounded forgets its beginning, so a replay has to begin in the middle: with an image.
//! Numbers are little-endian, floats by their bits, lists by their length and items; so an image is the
//! same on every machine, and two controllers of equal images decide alike for ever.
//!
//! Each type names its fields once, by a macro that takes the whole value apart: a field that is added
//! later and not named does not compile. There is no version in an image; whoever keeps one notes which
//! version wrote it.

use std::time::Duration;

/// A value that can be written to bytes and read back.
pub(crate) trait Image: Sized {
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes a value from the front; `None` if there is none.
    fn read(input: &mut &[u8]) -> Option<Self>;
}

/// Implements [`Image`]: a struct by its fields, a newtype, or an enum by its variants with their tags.
macro_rules! image {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::image::Image for $name {
            fn write(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($crate::image::Image::write($field, out);)*
            }

            fn read(input: &mut &[u8]) -> Option<$name> {
                Some($name { $($field: $crate::image::Image::read(input)?),* })
            }
        }
    };
    (newtype $name:ident) => {
        impl $crate::image::Image for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $crate::image::Image::write(&self.0, out);
            }

            fn read(input: &mut &[u8]) -> Option<$name> {
                $crate::image::Image::read(input).map($name)
            }
        }
    };
    (enum $name:ident { $($tag:literal => $variant:ident $({ $($field:ident),* })? $(($inner:ident))?),* $(,)? }) => {
        impl $crate::image::Image for $name {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant $({ $($field),* })? $(($inner))? => {
                        out.push($tag);
                        $($($crate::image::Image::write($field, out);)*)?
                        $($crate::image::Image::write($inner, out);)?
                    })*
                }
            }

            fn read(input: &mut &[u8]) -> Option<$name> {
                let tag: u8 = $crate::image::Image::read(input)?;
                match tag {
                    $($tag => {
                        $($(let $field = $crate::image::Image::read(input)?;)*)?
                        $(let $inner = $crate::image::Image::read(input)?;)?
                        Some($name::$variant $({ $($field),* })? $(($inner))?)
                    })*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use image;

macro_rules! image_of_number {
    ($($number:ty),*) => {$(
        impl Image for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(input: &mut &[u8]) -> Option<$number> {
                let (bytes, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(<$number>::from_le_bytes(*bytes))
            }
        }
    )*};
}

image_of_number!(u8, u16, u32, u64, u128);

impl Image for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_bits().write(out);
    }

    fn read(input: &mut &[u8]) -> Option<f64> {
        u64::read(input).map(f64::from_bits)
    }
}

impl Image for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &[u8]) -> Option<bool> {
        match u8::read(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Image for Duration {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_secs().write(out);
        self.subsec_nanos().write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Duration> {
        let (seconds, nanos) = (u64::read(input)?, u32::read(input)?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }
}

impl Image for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().to_vec().write(out);
    }

    fn read(input: &mut &[u8]) -> Option<String> {
        String::from_utf8(Vec::read(input)?).ok()
    }
}

impl<T: Image> Image for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(input: &mut &[u8]) -> Option<Option<T>> {
        if bool::read(input)? { T::read(input).map(Some) } else { Some(None) }
    }
}

impl<T: Image> Image for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write(out);
        self.iter().for_each(|item| item.write(out));
    }

    fn read(input: &mut &[u8]) -> Option<Vec<T>> {
        // Not reserved: a length that is none must not take memory before the bytes run out.
        (0..u64::read(input)?).map(|_| T::read(input)).collect()
    }
}

impl<T: Image, const N: usize> Image for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.write(out));
    }

    fn read(input: &mut &[u8]) -> Option<[T; N]> {
        let items: Vec<T> = (0..N).map(|_| T::read(input)).collect::<Option<_>>()?;
        items.try_into().ok()
    }
}

impl<A: Image, B: Image> Image for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<(A, B)> {
        Some((A::read(input)?, B::read(input)?))
    }
}
