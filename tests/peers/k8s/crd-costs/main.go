// Command crd-costs prints what the API server estimates that each CEL rule of definitions costs at most, and the sum for each
// version: it tells that only of rules that it refuses.
//
// The rules of the estimate, and its limits, are those of k8s.io/apiextensions-apiserver, which is asked itself.
package main

import (
	"fmt"
	"os"
	"sort"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

type visit struct {
	env   *environment.EnvSet
	total uint64
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: crd-costs FILE...: the definitions, one in each file")
		os.Exit(2)
	}
	for _, path := range os.Args[1:] {
		if err := ofFile(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func ofFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var definition v1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	for _, version := range definition.Spec.Versions {
		if version.Schema == nil {
			continue
		}
		schema := &apiextensions.JSONSchemaProps{}
		from := version.Schema.OpenAPIV3Schema
		if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(from, schema, nil); err != nil {
			return err
		}
		v := &visit{env: environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())}
		fmt.Printf("%s %s\n", definition.Spec.Names.Kind, version.Name)
		if err := v.node(validation.RootCELContext(schema), schema, ""); err != nil {
			return err
		}
		share := percent(v.total, validation.StaticEstimatedCRDCostLimit)
		fmt.Printf("  %12d %6.2f %%  together, of %d\n", v.total, share, validation.StaticEstimatedCRDCostLimit)
	}
	return nil
}

func percent(cost, limit uint64) float64 { return 100 * float64(cost) / float64(limit) }

func (v *visit) node(context *validation.CELSchemaContext, schema *apiextensions.JSONSchemaProps, path string) error {
	if len(schema.XValidations) > 0 {
		if err := v.rules(context, schema, path); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		property := schema.Properties[name]
		if err := v.node(context.ChildPropertyContext(&property, name), &property, path+"."+name); err != nil {
			return err
		}
	}
	if more := schema.AdditionalProperties; more != nil && more.Schema != nil {
		if err := v.node(context.ChildAdditionalPropertiesContext(more.Schema), more.Schema, path+".*"); err != nil {
			return err
		}
	}
	if items := schema.Items; items != nil && items.Schema != nil {
		return v.node(context.ChildItemsContext(items.Schema), items.Schema, path+"[]")
	}
	return nil
}

func (v *visit) rules(context *validation.CELSchemaContext, schema *apiextensions.JSONSchemaProps, path string) error {
	info, err := context.TypeInfo()
	if err != nil {
		return err
	}
	loader := cel.NewExpressionsEnvLoader()
	results, err := cel.Compile(info.Schema, info.DeclType, celconfig.PerCallLimit, v.env, loader)
	if err != nil {
		return err
	}
	for i, result := range results {
		if result.Error != nil {
			return fmt.Errorf("%s: %v", path, result.Error)
		}
		times := result.MaxCardinality
		if context.MaxCardinality != nil {
			times = *context.MaxCardinality
		}
		cost := result.MaxCost * times
		v.total += cost
		share := percent(cost, validation.StaticEstimatedCostLimit)
		fmt.Printf("  %12d %6.2f %%  %s: %s\n", cost, share, path, schema.XValidations[i].Rule)
	}
	return nil
}
