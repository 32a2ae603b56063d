//! Runs the two heads of a model on tract.
//!
//! Each head is a plan of its own, cut from the one file: a request that needs no value pays for
//! none. A plan's working memory is reused, which saves a run about a tenth of its time; it is
//! pooled with the plan, not kept by threads, so that it goes when the model goes.
//!
//! A number that is not finite neither goes in nor comes out: tract makes a plausible number of a NaN.

use std::array;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, IntoTValue, Tensor, TractResult, TypedRunnableModel,
    TypedSimpleState, tvec,
};

use super::class::ModelClass;
use crate::classify::features::{REQUEST_LEN, SESSION_LEN};

/// The tensors of a bundle's model.
pub(super) const REQUEST: &str = "request";
pub(super) const SESSION: &str = "session";
pub(super) const CLASS: &str = "class";
pub(super) const VALUE: &str = "value";

/// The heads of one model.
pub(super) struct Heads {
    pub(super) class: Head<REQUEST_LEN, { ModelClass::ALL.len() }>,
    pub(super) value: Head<SESSION_LEN, 1>,
}

impl Heads {
    /// Plans both heads of an ONNX model.
    pub(super) fn load(model: &ModelProto) -> TractResult<Heads> {
        Ok(Heads { class: Head::load(model, REQUEST, CLASS)?, value: Head::load(model, SESSION, VALUE)? })
    }
}

/// One head: `IN` numbers in, `OUT` numbers in [0, 1] out.
pub(super) struct Head<const IN: usize, const OUT: usize> {
    plan: Arc<TypedRunnableModel>,
    /// Working memory no run is using; the lock is held to take one or to put it back. There are at
    /// most as many as there have been runs at one time, which is at most one a thread.
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl<const IN: usize, const OUT: usize> Head<IN, OUT> {
    fn load(model: &ModelProto, input: &str, output: &str) -> TractResult<Head<IN, OUT>> {
        let plan = tract_onnx::onnx()
            .model_for_proto_model(model)?
            .with_inputs_by_name([input])?
            .with_outputs_by_name([output])?
            .into_optimized()?
            .into_runnable()?;
        Ok(Head { plan, idle: Mutex::default() })
    }

    /// The head's answer, clamped to [0, 1]; `None` if a number is not finite or the runtime fails.
    pub(super) fn run(&self, input: &[f32; IN]) -> Option<[f32; OUT]> {
        if !input.iter().all(|value| value.is_finite()) {
            return None;
        }
        // A failed run's working memory is dropped, not pooled: it may be in any state.
        let output = catch_unwind(AssertUnwindSafe(|| self.try_run(input))).ok()?.ok()?;
        output.iter().all(|value| value.is_finite()).then(|| output.map(|value| value.clamp(0.0, 1.0)))
    }

    fn try_run(&self, input: &[f32; IN]) -> TractResult<[f32; OUT]> {
        let mut state = self.take_idle().map_or_else(|| self.plan.spawn(), Ok)?;
        let input = Tensor::from_shape(&[1, IN], input)?;
        let outputs = state.run(tvec!(input.into_tvalue()))?;
        let output = outputs[0].to_plain_array_view::<f32>()?;
        let output = array::from_fn(|index| output[[0, index]]);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        Ok(output)
    }

    fn take_idle(&self) -> Option<TypedSimpleState> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
