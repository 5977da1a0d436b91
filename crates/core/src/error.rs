//! The one error type: what went wrong, in which operation, where in the caller's source.

use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

/// Result with wgrad's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of mistake or fault an [`Error`] reports.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Shapes do not fit together.
    Shape,
    /// The number of dimensions is wrong.
    Rank,
    /// An axis does not exist or is named twice.
    Axis,
    /// An argument is outside what it may be.
    Argument,
    /// A slice or range lies outside the tensor.
    Range,
    /// The element type does not fit.
    DType,
    /// Tensors live on different devices, or a device cannot be had.
    Device,
    /// A size overflows or passes a limit.
    Size,
    /// A reduction without identity over nothing.
    Empty,
    /// An index in the data points outside the tensor.
    Index,
    /// The graph cannot be differentiated as asked.
    Graph,
    /// Memory ran out or a budget was passed.
    Memory,
    /// The device is gone.
    Lost,
    /// A wait took longer than allowed.
    Timeout,
    /// A kernel was refused by the driver.
    Kernel,
    /// A setting, for example an environment variable, has a bad value.
    Config,
    /// The adapter lacks a feature.
    Feature,
    /// A file could not be read or written.
    Io,
    /// A file's contents are damaged or of another format.
    Format,
    /// What a file holds differs from what it is loaded into.
    Mismatch,
    /// A sample could not be had, or is not what it must be.
    Data,
    /// Numbers passed the range of their type again and again.
    Overflow,
    /// A bug in wgrad.
    Internal,
}

/// A typed error: kind, operation, message, and the line of the caller's source it came from.
///
/// ```
/// use wgrad_core::{Device, ErrorKind, Tensor};
/// let cpu = Device::cpu();
/// let a = Tensor::zeros([2, 3], &cpu)?;
/// let b = Tensor::zeros([4], &cpu)?;
/// let error = a.try_add(&b).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// assert!(error.to_string().starts_with("add: cannot broadcast [2, 3] with [4]"));
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    op: Cow<'static, str>,
    message: String,
    at: &'static Location<'static>,
}

impl Error {
    /// A new error of `kind` in `op`; the caller's line is recorded.
    #[track_caller]
    pub fn new(
        kind: ErrorKind,
        op: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            op: op.into(),
            message: message.into(),
            at: Location::caller(),
        }))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, for example `matmul`.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The text without operation and place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The line of source that asked for the operation.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// The same error, placed at another line of source.
    #[must_use]
    pub fn at(mut self, location: &'static Location<'static>) -> Self {
        Arc::make_mut(&mut self.0).at = location;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { op, message, at, .. } = &*self.0;
        write!(f, "{op}: {message} (at {}:{}:{})", at.file(), at.line(), at.column())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

macro_rules! constructors {
    ($($name:ident $kind:ident),* $(,)?) => {
        impl Error {
            $(
                #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
                #[track_caller]
                pub fn $name(op: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
                    Self::new(ErrorKind::$kind, op, message)
                }
            )*
        }
    };
}
constructors! {
    shape Shape, rank Rank, axis Axis, argument Argument, range Range, dtype DType, device Device,
    size Size, empty Empty, index Index, graph Graph, memory Memory, lost Lost, timeout Timeout,
    kernel Kernel, config Config, feature Feature, io Io, format Format, mismatch Mismatch, data Data,
    overflow Overflow, internal Internal,
}

/// The error of an index in the data that lies outside `0..limit`; `position` is its place in the
/// index tensor, row-major. Every backend reports bad indices through this, so the text is the same.
#[track_caller]
pub fn bad_index(op: &str, value: i64, position: usize, limit: usize) -> Error {
    let advice = if matches!(op, "cross_entropy" | "nll") && value < 0 {
        format!(
            "; rows with such a label are left out by {op}_with and \
             CrossEntropyOptions {{ ignore_index: Some({value}), ..Default::default() }}"
        )
    } else {
        String::new()
    };
    Error::index(
        op.to_owned(),
        format!("index {value} at position {position} lies outside 0..{limit}{advice}"),
    )
}
