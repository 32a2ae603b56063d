//! Runs the two heads of a model on tract.
//!
//! Each head is a plan of its own, cut from the one file: a request that needs no value pays for
//! none. A plan's working memory is reused, which saves a run about a tenth of its time; it is
//! pooled with the plan, not kept by threads, so that it goes when the model goes. (Some hundred bytes
//! that tract itself keeps by thread and plan go with the thread.)
//!
//! A number that is not finite goes in as little as one that is no probability comes out: tract makes a
//! plausible number of a NaN, and a model whose last layer is another one than it should be has no answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, IntoTValue, Tensor, TractResult, TypedRunnableModel,
    TypedSimpleState,
};

use super::class::ModelClass;
use crate::classify::features::{REQUEST_LEN, SESSION_LEN};

/// The tensors of a bundle's model.
pub(super) const REQUEST: &str = "request";
pub(super) const SESSION: &str = "session";
pub(super) const CLASS: &str = "class";
pub(super) const VALUE: &str = "value";

/// How far rounding may carry a probability out of [0, 1]: a hundred times what single precision does.
const ROUNDING_MAX: f32 = 1e-5;

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
    /// The node that hands the input on.
    source: usize,
    /// Working memory no run is using; the lock is held to take one or to put it back. There are at
    /// most as many as there have been runs at one time, which is at most one a thread.
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl<const IN: usize, const OUT: usize> Head<IN, OUT> {
    fn load(model: &ModelProto, input: &str, output: &str) -> TractResult<Head<IN, OUT>> {
        let model = tract_onnx::onnx()
            .model_for_proto_model(model)?
            .with_inputs_by_name([input])?
            .with_outputs_by_name([output])?
            .into_optimized()?;
        let source = model.input_outlets()?[0].node;
        Ok(Head { plan: model.into_runnable()?, source, idle: Mutex::default() })
    }

    /// The head's answer, clamped to [0, 1]; `None` if a number is not finite, an answer no probability, or
    /// the runtime fails.
    pub(super) fn run(&self, input: &[f32; IN]) -> Option<[f32; OUT]> {
        if !input.iter().all(|value| value.is_finite()) {
            return None;
        }
        // A failed run's working memory is dropped, not pooled: it may be in any state.
        let output = catch_unwind(AssertUnwindSafe(|| self.try_run(input))).ok()?.ok()?;
        let is_probability = |value: &f32| (-ROUNDING_MAX..=1.0 + ROUNDING_MAX).contains(value);
        output.iter().all(is_probability).then(|| output.map(|value| value.clamp(0.0, 1.0)))
    }

    /// Input and output are put and read where the plan has them: its own way in and out checks again what
    /// their types say, and clears what the next run overwrites.
    fn try_run(&self, input: &[f32; IN]) -> TractResult<[f32; OUT]> {
        let mut state = self.take_idle().map_or_else(|| self.spawn(), Ok)?;
        state.set_value(self.source, Tensor::from_shape(&[1, IN], input)?.into_tvalue())?;
        state.exec()?;
        let output: [f32; OUT] = state.output(0)?.try_as_plain_ram()?.as_slice::<f32>()?.try_into()?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        Ok(output)
    }

    fn take_idle(&self) -> Option<TypedSimpleState> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// New working memory, in which the input has been put once by the way that checks it.
    fn spawn(&self) -> TractResult<TypedSimpleState> {
        let mut state = self.plan.spawn()?;
        state.set_input(0, Tensor::zero::<f32>(&[1, IN])?.into_tvalue())?;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{GraphProto, TensorProto};

    use super::*;
    use crate::classify::features::SessionFeatures;

    fn shipped() -> ModelProto {
        let bytes = include_bytes!("../../models/storefront/model.onnx");
        tract_onnx::onnx().proto_model_for_read(&mut bytes.as_slice()).unwrap()
    }

    fn weights<'g>(graph: &'g mut GraphProto, name: &str) -> &'g mut TensorProto {
        graph.initializer.iter_mut().find(|weights| weights.name == name).unwrap()
    }

    /// The shipped model, but that its value head says this of every session.
    fn saying(score: f32) -> Heads {
        let mut model = shipped();
        let graph = model.graph.as_mut().unwrap();
        weights(graph, "value.w2").raw_data.fill(0);
        weights(graph, "value.b2").raw_data = score.to_le_bytes().to_vec();
        graph.node.iter_mut().find(|node| node.op_type == "Sigmoid").unwrap().op_type = "Relu".into();
        Heads::load(&model).unwrap()
    }

    #[test]
    fn what_is_no_probability_is_no_answer() {
        let answer = |score| saying(score).value.run(&[0.0; SESSION_LEN]);
        assert_eq!([answer(0.0), answer(0.25), answer(1.0)], [Some([0.0]), Some([0.25]), Some([1.0])]);
        assert_eq!(answer(1.0 + ROUNDING_MAX / 2.0), Some([1.0]), "rounding is forgiven");
        assert_eq!([answer(1.001), answer(7.5), answer(f32::MAX)], [None; 3]);
    }

    #[test]
    fn a_run_leaves_nothing_behind_for_the_next() {
        let heads = Heads::load(&shipped()).unwrap();
        let sessions: [SessionFeatures; 3] = [[0.0; SESSION_LEN], [1.0; SESSION_LEN], [3.0; SESSION_LEN]];
        let alone = sessions.map(|session| Heads::load(&shipped()).unwrap().value.run(&session).unwrap());
        for _ in 0..3 {
            assert_eq!(sessions.map(|session| heads.value.run(&session).unwrap()), alone);
        }
        assert!(alone[0] != alone[1] && alone[1] != alone[2], "{alone:?}");
    }

    #[test]
    fn weights_of_an_only_output_lie_in_a_row_so_that_no_run_packs_a_matrix_for_them() {
        let mut model = shipped();
        let graph = model.graph.as_mut().unwrap();
        let columns = weights(graph, "value.b1").dims.clone();
        assert_eq!(weights(graph, "value.w2").dims, [&[1_i64][..], &columns].concat());
    }
}
