//! The messages of pprof's `profile.proto` and their encoding. Field numbers are those of the format.
//!
//! Must not know: what the values mean, where files are.

use anyhow::{Result, bail, ensure};

/// A field's value as it is encoded.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

const NUMBER: u64 = 0;
const WORD: u64 = 1;
const BYTES: u64 = 2;
const HALF: u64 = 5;
const MORE: u8 = 0x80;
/// Bits of a number in one byte.
const SEVEN: u32 = 7;

/// A message, field by field. A field that is not known is left out.
trait Message: Default {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()>;
    fn put(&self, out: &mut Writer);

    fn decode(mut bytes: &[u8]) -> Result<Self> {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let value = match key & 7 {
                NUMBER => Value::Number(varint(&mut bytes)?),
                BYTES => {
                    let len = usize::try_from(varint(&mut bytes)?)?;
                    Value::Bytes(take(&mut bytes, len)?)
                }
                WORD => Value::Bytes(take(&mut bytes, 8)?),
                HALF => Value::Bytes(take(&mut bytes, 4)?),
                kind => bail!("a field of kind {kind}"),
            };
            message.set(key >> 3, value)?;
        }
        Ok(message)
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    ensure!(len <= bytes.len(), "it ends within a field");
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(SEVEN as usize) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & !MORE) << shift;
        if byte & MORE == 0 {
            return Ok(number);
        }
    }
    bail!("a number without an end")
}

impl Value<'_> {
    fn number(self) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => bail!("bytes where a number belongs"),
        }
    }

    fn signed(self) -> Result<i64> {
        Ok(self.number()?.cast_signed())
    }

    fn message<M: Message>(self) -> Result<M> {
        match self {
            Self::Bytes(bytes) => M::decode(bytes),
            Self::Number(_) => bail!("a number where a message belongs"),
        }
    }

    fn text(self) -> Result<String> {
        match self {
            Self::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::Number(_) => bail!("a number where a text belongs"),
        }
    }

    /// Adds one number, or a packed list of them.
    fn numbers(self, list: &mut Vec<u64>) -> Result<()> {
        match self {
            Self::Number(number) => list.push(number),
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    list.push(varint(&mut bytes)?);
                }
            }
        }
        Ok(())
    }
}

/// A message that is written.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut number: u64) {
        while number >= u64::from(MORE) {
            self.bytes.push(number as u8 | MORE);
            number >>= SEVEN;
        }
        self.bytes.push(number as u8);
    }

    /// A number; 0 is what an absent one means.
    fn number(&mut self, field: u64, number: u64) -> &mut Self {
        if number != 0 {
            self.varint(field << 3 | NUMBER);
            self.varint(number);
        }
        self
    }

    fn signed(&mut self, field: u64, number: i64) -> &mut Self {
        self.number(field, number.cast_unsigned())
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn numbers(&mut self, field: u64, list: impl Iterator<Item = u64>) -> &mut Self {
        let mut packed = Self::default();
        list.for_each(|number| packed.varint(number));
        self.bytes(field, &packed.bytes)
    }

    fn message(&mut self, field: u64, message: &impl Message) -> &mut Self {
        let mut inner = Self::default();
        message.put(&mut inner);
        self.bytes(field, &inner.bytes)
    }

    fn messages(&mut self, field: u64, list: &[impl Message]) -> &mut Self {
        list.iter().fold(self, |out, message| out.message(field, message))
    }
}

/// The kind and the unit of a value of a sample, by numbers of texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ValueType {
    pub(super) name: i64,
    pub(super) unit: i64,
}

impl Message for ValueType {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.name = value.signed()?,
            2 => self.unit = value.signed()?,
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.signed(1, self.name).signed(2, self.unit);
    }
}

/// A stack, the innermost place first, and its values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sample {
    pub(super) locations: Vec<u64>,
    pub(super) values: Vec<i64>,
    /// Keys and texts, which are written as kinds and units are.
    pub(super) labels: Vec<ValueType>,
}

impl Message for Sample {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => value.numbers(&mut self.locations)?,
            2 => {
                let mut numbers = Vec::new();
                value.numbers(&mut numbers)?;
                self.values.extend(numbers.into_iter().map(u64::cast_signed));
            }
            3 => self.labels.push(value.message()?),
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.numbers(1, self.locations.iter().copied());
        out.numbers(2, self.values.iter().map(|value| value.cast_unsigned())).messages(3, &self.labels);
    }
}

/// A part of a file in the memory of the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Mapping {
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) offset: u64,
    pub(super) file: i64,
    pub(super) build: i64,
    /// Whether its places have names of functions and files, lines, and the functions that were inlined.
    pub(super) named: bool,
}

impl Message for Mapping {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.id = value.number()?,
            2 => self.start = value.number()?,
            3 => self.limit = value.number()?,
            4 => self.offset = value.number()?,
            5 => self.file = value.signed()?,
            6 => self.build = value.signed()?,
            7 => self.named = value.number()? != 0,
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.number(1, self.id).number(2, self.start).number(3, self.limit).number(4, self.offset);
        out.signed(5, self.file).signed(6, self.build);
        (7..=10).fold(out, |out, field| out.number(field, u64::from(self.named)));
    }
}

/// A place in code, with names if the writer of the profile had them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Location {
    pub(super) id: u64,
    pub(super) mapping: u64,
    pub(super) address: u64,
    pub(super) lines: Vec<Line>,
}

impl Message for Location {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.id = value.number()?,
            2 => self.mapping = value.number()?,
            3 => self.address = value.number()?,
            4 => self.lines.push(value.message()?),
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.number(1, self.id).number(2, self.mapping).number(3, self.address).messages(4, &self.lines);
    }
}

/// A function that a place is in; the first of several is inlined into the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Line {
    pub(super) function: u64,
    pub(super) line: i64,
}

impl Message for Line {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.function = value.number()?,
            2 => self.line = value.signed()?,
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.number(1, self.function).signed(2, self.line);
    }
}

/// A function, by numbers of texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Function {
    pub(super) id: u64,
    pub(super) name: i64,
    pub(super) file: i64,
}

impl Message for Function {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.id = value.number()?,
            2 => self.name = value.signed()?,
            4 => self.file = value.signed()?,
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.number(1, self.id).signed(2, self.name).signed(3, self.name).signed(4, self.file);
    }
}

/// The whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Profile {
    pub(super) values: Vec<ValueType>,
    pub(super) samples: Vec<Sample>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) locations: Vec<Location>,
    pub(super) functions: Vec<Function>,
    pub(super) texts: Vec<String>,
    pub(super) time: i64,
    pub(super) duration: i64,
    pub(super) period_type: ValueType,
    pub(super) period: i64,
    pub(super) comments: Vec<u64>,
    pub(super) default_value: i64,
}

impl Message for Profile {
    fn set(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match field {
            1 => self.values.push(value.message()?),
            2 => self.samples.push(value.message()?),
            3 => self.mappings.push(value.message()?),
            4 => self.locations.push(value.message()?),
            5 => self.functions.push(value.message()?),
            6 => self.texts.push(value.text()?),
            9 => self.time = value.signed()?,
            10 => self.duration = value.signed()?,
            11 => self.period_type = value.message()?,
            12 => self.period = value.signed()?,
            13 => value.numbers(&mut self.comments)?,
            14 => self.default_value = value.signed()?,
            _ => {}
        }
        Ok(())
    }

    fn put(&self, out: &mut Writer) {
        out.messages(1, &self.values).messages(2, &self.samples).messages(3, &self.mappings);
        out.messages(4, &self.locations).messages(5, &self.functions);
        self.texts.iter().fold(&mut *out, |out, text| out.bytes(6, text.as_bytes()));
        out.signed(9, self.time).signed(10, self.duration).message(11, &self.period_type).signed(12, self.period);
        out.numbers(13, self.comments.iter().copied()).signed(14, self.default_value);
    }
}

impl Profile {
    /// The profile that `bytes` are.
    ///
    /// # Errors
    /// Where they are none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        Message::decode(bytes)
    }

    /// The bytes of the profile.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.put(&mut out);
        out.bytes
    }

    /// The text of that number; empty where there is none.
    pub(super) fn text(&self, number: i64) -> &str {
        usize::try_from(number).ok().and_then(|number| self.texts.get(number)).map_or("", String::as_str)
    }
}
