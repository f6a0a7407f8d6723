//! JSON that is taken as it comes.
//!
//! What a broker or a producer wrote into a property must not keep a body from being read. So a type here says what it
//! takes out of which shape of JSON, and is its default for any other. All else is skipped without being looked at:
//! serde would refuse a table nested a few hundred deep, which any producer can put into a header.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A type that can be read from any JSON.
pub(super) trait Loose: Default {
    /// From null.
    fn null() -> Self {
        Self::default()
    }

    /// From a text.
    fn text(_: &str) -> Self {
        Self::default()
    }

    /// From a truth.
    fn truth(_: bool) -> Self {
        Self::default()
    }

    /// From a whole number.
    fn number(_: i128) -> Self {
        Self::default()
    }

    /// From a list.
    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// From an object: what it is before its members are seen.
    fn object() -> Self {
        Self::default()
    }

    /// From an object: one member. Its value must be taken, if only as [`IgnoredAny`].
    fn member<'de, A: MapAccess<'de>>(&mut self, _: &str, members: &mut A) -> Result<(), A::Error> {
        skip(members)
    }
}

/// Passes over the value of a member.
pub(super) fn skip<'de, A: MapAccess<'de>>(members: &mut A) -> Result<(), A::Error> {
    members.next_value::<IgnoredAny>().map(drop)
}

/// Reads it from whatever there is.
pub(super) fn read<'de, T: Loose, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Anything(PhantomData))
}

struct Anything<T>(PhantomData<T>);

impl<'de, T: Loose> Visitor<'de> for Anything<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<T, E> {
        Ok(T::truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<T, A::Error> {
        let mut value = T::object();
        while let Some(name) = members.next_key::<String>()? {
            value.member(&name, &mut members)?;
        }
        Ok(value)
    }
}
