//! Decides whether a bundle is let in: everything that can be known before it scores a request.
//!
//! The ONNX file is judged as data first (operators, shapes, weights), for the runtime is not made
//! to survive any file: its tree ensembles may loop or crash, so only the operators of linear
//! models and perceptrons reach it. What then loads must reproduce the bundle's golden vectors,
//! which catches what no rule foresees: another feature code, another runtime, another machine.
//!
//! Whether the model is any good is not checked; the manifest states its measures.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

use super::bundle::{Bundle, Golden};
use super::class::ModelClass;
use super::error::ModelError;
use super::runtime::{CLASS, Heads, REQUEST, SESSION, VALUE};
use super::shapes::{self, TENSOR_LEN_MAX};
use crate::classify::features::{REQUEST_LEN, SESSION_LEN, schema_hash};

/// What linear models and perceptrons are made of; all of it takes a time known beforehand.
const OPERATORS: [&str; 6] = ["Add", "Gemm", "MatMul", "Relu", "Sigmoid", "Softmax"];

/// More nodes than a perceptron of eight layers a head has.
const NODES_MAX: usize = 64;

/// What the heads read, and how wide it is.
const INPUTS: [(&str, usize); 2] = [(REQUEST, REQUEST_LEN), (SESSION, SESSION_LEN)];

/// More multiplications than a run may take. The shipped class head has a twentieth of them and takes some
/// microseconds; these are a tenth of the time that a run has by default (`time_budget`).
const WORK_MAX: i64 = 1 << 20;

/// Fewer vectors would leave classes untried.
const GOLDEN_MIN: usize = 32;

/// A tolerance above this would let anything pass.
const GOLDEN_TOLERANCE_MAX: f32 = 1e-2;

/// Loads the heads of a bundle that passes every check. A panic of the runtime is a refusal.
pub(super) fn admit(bundle: &Bundle) -> Result<Heads, ModelError> {
    admit_manifest(bundle)?;
    let file = &bundle.names.model;
    catch_unwind(AssertUnwindSafe(|| {
        let model = tract_onnx::onnx()
            .proto_model_for_read(&mut bundle.model.as_ref())
            .map_err(|error| ModelError::unloadable(file, error))?;
        admit_model(bundle, &model)
    }))
    .unwrap_or_else(|_panic| Err(ModelError::unloadable(file, "the runtime panicked")))
}

fn admit_model(bundle: &Bundle, model: &ModelProto) -> Result<Heads, ModelError> {
    let file = &bundle.names.model;
    admit_graph(bundle, model)?;
    let heads = Heads::load(model).map_err(|error| ModelError::unloadable(file, format!("{error:#}")))?;
    reproduce_golden(bundle, &heads)?;
    Ok(heads)
}

/// A model that would be given up for being slow, or takes more memory than it has weights, is not let in to begin
/// with.
fn admit_work(file: &str, graph: &GraphProto) -> Result<(), ModelError> {
    let work = shapes::work(graph, &INPUTS).map_err(|why| {
        ModelError::refused(
            file,
            "shapes",
            why,
            format!("matrices that fit, of at most {TENSOR_LEN_MAX} numbers"),
        )
    })?;
    if work <= WORK_MAX {
        return Ok(());
    }
    Err(ModelError::refused(file, "multiplications", work, format!("at most {WORK_MAX}")))
}

fn admit_manifest(bundle: &Bundle) -> Result<(), ModelError> {
    let manifest = &bundle.manifest;
    let refuse = |key: &str, found: &str, expected: String| {
        Err(ModelError::refused(&bundle.names.manifest, key, found, expected))
    };
    if manifest.schema.hash != schema_hash() {
        return refuse("schema.hash", &manifest.schema.hash, schema_hash());
    }
    let classes = ModelClass::ALL.map(ModelClass::name);
    if manifest.classes != classes {
        return refuse("classes", &manifest.classes.join(" "), classes.join(" "));
    }
    if let Some((name, _)) = manifest.histograms.iter().find(|(_, histogram)| !histogram.is_sound()) {
        return refuse(&format!("histograms.{name}"), "unsound", "ascending edges, shares of 1".to_owned());
    }
    let tolerance = manifest.golden_tolerance;
    if !(0.0..=GOLDEN_TOLERANCE_MAX).contains(&tolerance) {
        return refuse("golden_tolerance", &tolerance.to_string(), format!("0 to {GOLDEN_TOLERANCE_MAX}"));
    }
    Ok(())
}

fn admit_graph(bundle: &Bundle, model: &ModelProto) -> Result<(), ModelError> {
    let file = &bundle.names.model;
    let graph =
        model.graph.as_ref().ok_or_else(|| ModelError::refused(file, "graph", "absent", "present"))?;
    if !model.functions.is_empty() {
        return Err(ModelError::refused(file, "functions", model.functions.len(), "none"));
    }
    if graph.node.len() > NODES_MAX {
        return Err(ModelError::refused(file, "nodes", graph.node.len(), format!("at most {NODES_MAX}")));
    }
    graph.node.iter().try_for_each(|node| admit_node(file, node))?;
    admit_operators(bundle, graph)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(ModelError::refused(file, "sparse_initializer", graph.sparse_initializer.len(), "none"));
    }
    graph.initializer.iter().try_for_each(|weights| admit_weights(file, weights))?;
    admit_shapes(file, "inputs", &graph.input, &INPUTS)?;
    admit_shapes(file, "outputs", &graph.output, &[(CLASS, ModelClass::ALL.len()), (VALUE, 1)])?;
    admit_work(file, graph)
}

/// An operator of another domain, or with a graph inside, is not the one of that name.
fn admit_node(file: &str, node: &NodeProto) -> Result<(), ModelError> {
    let is_flat = |attribute: &AttributeProto| attribute.g.is_none() && attribute.graphs.is_empty();
    let plain = node.domain.is_empty() && node.attribute.iter().all(is_flat);
    if plain && OPERATORS.contains(&node.op_type.as_str()) {
        return Ok(());
    }
    let key = format!("operator of node {:?}", node.name);
    let found = [node.domain.as_str(), &node.op_type].join(" ");
    Err(ModelError::refused(file, key, found.trim(), OPERATORS.join(", ")))
}

fn admit_operators(bundle: &Bundle, graph: &GraphProto) -> Result<(), ModelError> {
    let mut found: Vec<&str> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    if found == bundle.manifest.operators {
        return Ok(());
    }
    let stated = bundle.manifest.operators.join(", ");
    Err(ModelError::refused(&bundle.names.manifest, "operators", stated, found.join(", ")))
}

/// Weights are finite 32-bit floats, all of them in the file: none that lie elsewhere, none that
/// spread NaN, no shape that makes the loader reserve what is not there.
fn admit_weights(file: &str, weights: &TensorProto) -> Result<(), ModelError> {
    let refuse = |found: &str| {
        let key = format!("weights {:?}", weights.name);
        Err(ModelError::refused(file, key, found, "finite 32-bit floats in the file"))
    };
    let here = weights.data_location.is_none_or(|location| location == DataLocation::Default as i32);
    if weights.data_type != DataType::Float as i32 || !here {
        return refuse("of another type or elsewhere");
    }
    let (raw, rest) = weights.raw_data.as_chunks::<4>();
    let values = raw.iter().map(|bytes| f32::from_le_bytes(*bytes)).chain(weights.float_data.iter().copied());
    let size = weights.dims.iter().try_fold(1_i64, |size, dim| size.checked_mul(*dim));
    if !rest.is_empty() || size != i64::try_from(values.clone().count()).ok() {
        return refuse(&format!("of shape {:?} and {} bytes", weights.dims, weights.raw_data.len()));
    }
    match values.clone().find(|weight| !weight.is_finite()) {
        Some(weight) => refuse(&weight.to_string()),
        None => Ok(()),
    }
}

/// Every tensor is one row of the width its head has.
fn admit_shapes(
    file: &str,
    key: &str,
    tensors: &[ValueInfoProto],
    expected: &[(&str, usize)],
) -> Result<(), ModelError> {
    let show = |name: &str, shape: &[i64]| format!("{name} {shape:?}");
    let found: Vec<String> = tensors.iter().map(|tensor| show(&tensor.name, &shape(tensor))).collect();
    let expected: Vec<String> =
        expected.iter().map(|(name, width)| show(name, &[1, *width as i64])).collect();
    if found == expected {
        return Ok(());
    }
    Err(ModelError::refused(file, key, found.join(" and "), expected.join(" and ")))
}

/// The shape of a float tensor; a dimension of no fixed size is -1, a tensor of another type has none.
fn shape(tensor: &ValueInfoProto) -> Vec<i64> {
    let Some(Value::TensorType(kind)) = tensor.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Vec::new();
    };
    let shape = kind.shape.as_ref().filter(|_| kind.elem_type == DataType::Float as i32);
    let size = |dim: &Dimension| match dim.value {
        Some(dimension::Value::DimValue(size)) => size,
        _ => -1,
    };
    shape.map(|shape| shape.dim.iter().map(size).collect()).unwrap_or_default()
}

fn reproduce_golden(bundle: &Bundle, heads: &Heads) -> Result<(), ModelError> {
    let file = &bundle.names.golden;
    if bundle.golden.len() < GOLDEN_MIN {
        return Err(ModelError::refused(
            file,
            "vectors",
            bundle.golden.len(),
            format!("at least {GOLDEN_MIN}"),
        ));
    }
    for (index, golden) in bundle.golden.iter().enumerate() {
        let inputs = golden_inputs(golden);
        let (request, session) = inputs.ok_or_else(|| {
            ModelError::refused(file, format!("vector {index}"), "misshapen", "as the schema")
        })?;
        let scores = heads.class.run(&request);
        let value = heads.value.run(&session);
        let found: Vec<f32> = scores.iter().flatten().chain(value.iter().flatten()).copied().collect();
        let expected = [golden.class.as_slice(), &[golden.value]].concat();
        if !is_close(&found, &expected, bundle.manifest.golden_tolerance) {
            let key = format!("answer to vector {index}");
            return Err(ModelError::refused(
                file,
                key,
                format!("{expected:?}"),
                format!("{found:?}, the model's"),
            ));
        }
    }
    Ok(())
}

fn golden_inputs(golden: &Golden) -> Option<([f32; REQUEST_LEN], [f32; SESSION_LEN])> {
    let mut request = [0.0; REQUEST_LEN];
    for index in &golden.request {
        *request.get_mut(*index)? = 1.0;
    }
    Some((request, golden.session.as_slice().try_into().ok()?))
}

fn is_close(found: &[f32], expected: &[f32], tolerance: f32) -> bool {
    let close = |(found, expected): (&f32, &f32)| (found - expected).abs() <= tolerance;
    found.len() == expected.len() && found.iter().zip(expected).all(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key for which the shipped model is refused with a value head of so many columns, all of them 0.
    fn refused_for(columns: i64) -> String {
        let bundle = Bundle::embedded().unwrap();
        let model = tract_onnx::onnx().proto_model_for_read(&mut bundle.model.as_ref());
        let mut model = model.unwrap();
        let weights = model.graph.as_mut().unwrap().initializer.iter_mut();
        for weights in weights.filter(|weights| weights.name.starts_with("value.")) {
            weights.dims.iter_mut().filter(|dim| **dim == 32).for_each(|dim| *dim = columns);
            weights.raw_data = vec![0; 4 * weights.dims.iter().product::<i64>() as usize];
        }
        match admit_model(&bundle, &model).err().unwrap() {
            ModelError::Refused { key, .. } => key,
            other => panic!("refused for another reason: {other}"),
        }
    }

    #[test]
    fn a_model_of_more_work_than_a_run_may_take_is_refused() {
        // A column of the value head takes 21 products of features, one element, and one product of the second
        // layer; everything else takes this.
        let rest = (REQUEST_LEN * 24 + 24 + 24 * 8 + 8 + 1) as i64;
        let columns_max = (WORK_MAX - rest) / 23;
        assert_eq!(refused_for(columns_max + 1), "multiplications");
        assert_eq!(refused_for(columns_max), "answer to vector 0", "what is asked next");
    }
}
