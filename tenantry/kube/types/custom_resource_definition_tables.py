"""The messages of CustomResourceDefinition in protobuf. JSON is read by the schema in `custom_resource_definition`, which keeps
what the tables cannot say: a schema is any JSON where it has values."""

from __future__ import annotations

from tenantry.kube.message_tables import kind, message

_REF = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

_EXTERNAL_DOCUMENTATION = message(
    _REF + "ExternalDocumentation",
    """
    1 description string
    2 url         string
    """,
)
_VALIDATION_RULE = message(
    _REF + "ValidationRule",
    """
    1 rule              string always
    2 message           string
    3 messageExpression string
    4 reason            *string(v1.FieldValueErrorReason)
    5 fieldPath         string
    6 optionalOldSelf   *bool
    """,
)
_JSON_SCHEMA_PROPS = message(
    _REF + "JSONSchemaProps",
    """
    1  id                                   string
    2  $schema                              string
    3  $ref                                 *string
    4  description                          string
    5  type                                 string
    6  format                               string
    7  title                                string
    8  default                              *JSON
    9  maximum                              *double
    10 exclusiveMaximum                     bool
    11 minimum                              *double
    12 exclusiveMinimum                     bool
    13 maxLength                            *int64
    14 minLength                            *int64
    15 pattern                              string
    16 maxItems                             *int64
    17 minItems                             *int64
    18 uniqueItems                          bool
    19 multipleOf                           *double
    20 enum                                 []JSON
    21 maxProperties                        *int64
    22 minProperties                        *int64
    23 required                             []string
    24 items                                *SelfOrList
    25 allOf                                []JSONSchemaProps
    26 oneOf                                []JSONSchemaProps
    27 anyOf                                []JSONSchemaProps
    28 not                                  *JSONSchemaProps
    29 properties                           map[]JSONSchemaProps
    30 additionalProperties                 *SelfOrBool
    31 patternProperties                    map[]JSONSchemaProps
    32 dependencies                         map[]SelfOrStrings
    33 additionalItems                      *SelfOrBool
    34 definitions                          map[]JSONSchemaProps
    35 externalDocs                         *ExternalDocumentation
    36 example                              *JSON
    37 nullable                             bool
    38 x-kubernetes-preserve-unknown-fields *bool
    39 x-kubernetes-embedded-resource       bool
    40 x-kubernetes-int-or-string           bool
    41 x-kubernetes-list-map-keys           []string
    42 x-kubernetes-list-type               *string
    43 x-kubernetes-map-type                *string
    44 x-kubernetes-validations             []ValidationRule
    """,
    _EXTERNAL_DOCUMENTATION,
    _VALIDATION_RULE,
)
NAMES = message(
    _REF + "CustomResourceDefinitionNames",
    """
    1 plural     string always
    2 singular   string
    3 shortNames []string
    4 kind       string always
    5 listKind   string
    6 categories []string
    """,
)
_COLUMN = message(
    _REF + "CustomResourceColumnDefinition",
    """
    1 name        string always
    2 type        string always
    3 format      string
    4 description string
    5 priority    int32
    6 jsonPath    string always
    """,
)
_VALIDATION = message(_REF + "CustomResourceValidation", "1 openAPIV3Schema *JSONSchemaProps", _JSON_SCHEMA_PROPS)
_STATUS_SUBRESOURCE = message(_REF + "CustomResourceSubresourceStatus", "")
_SCALE_SUBRESOURCE = message(
    _REF + "CustomResourceSubresourceScale",
    """
    1 specReplicasPath   string always
    2 statusReplicasPath string always
    3 labelSelectorPath  *string
    """,
)
_SUBRESOURCES = message(
    _REF + "CustomResourceSubresources",
    """
    1 status *CustomResourceSubresourceStatus
    2 scale  *CustomResourceSubresourceScale
    """,
    _STATUS_SUBRESOURCE,
    _SCALE_SUBRESOURCE,
)
_SELECTABLE_FIELD = message(_REF + "SelectableField", "1 jsonPath string always")
_VERSION = message(
    _REF + "CustomResourceDefinitionVersion",
    """
    1 name                     string always
    2 served                   bool   always
    3 storage                  bool   always
    4 schema                   *CustomResourceValidation
    5 subresources             *CustomResourceSubresources
    6 additionalPrinterColumns []CustomResourceColumnDefinition
    7 deprecated               bool
    8 deprecationWarning       *string
    9 selectableFields         []SelectableField
    """,
    _VALIDATION,
    _SUBRESOURCES,
    _COLUMN,
    _SELECTABLE_FIELD,
)
_SERVICE = message(
    _REF + "ServiceReference",
    """
    1 namespace string always
    2 name      string always
    3 path      *string
    4 port      *int32
    """,
)
_CLIENT_CONFIG = message(
    _REF + "WebhookClientConfig",
    """
    1 service  *ServiceReference
    2 caBundle bytes
    3 url      *string
    """,
    _SERVICE,
)
_WEBHOOK = message(
    _REF + "WebhookConversion",
    """
    2 clientConfig             *WebhookClientConfig
    3 conversionReviewVersions []string always
    """,
    _CLIENT_CONFIG,
)
_CONVERSION = message(
    _REF + "CustomResourceConversion",
    """
    1 strategy string(v1.ConversionStrategyType) always
    2 webhook  *WebhookConversion
    """,
    _WEBHOOK,
)
SPEC = message(
    _REF + "CustomResourceDefinitionSpec",
    """
    1  group                 string always
    3  names                 CustomResourceDefinitionNames
    4  scope                 string(v1.ResourceScope) always
    7  versions              []CustomResourceDefinitionVersion always
    9  conversion            *CustomResourceConversion
    10 preserveUnknownFields bool
    """,
    NAMES,
    _VERSION,
    _CONVERSION,
)
CONDITION = message(
    _REF + "CustomResourceDefinitionCondition",
    """
    1 type               string always
    2 status             string always
    3 lastTransitionTime Time   always
    4 reason             string
    5 message            string
    6 observedGeneration int64
    """,
)
STATUS = message(
    _REF + "CustomResourceDefinitionStatus",
    """
    1 conditions         []CustomResourceDefinitionCondition always map=type
    2 acceptedNames      CustomResourceDefinitionNames
    3 storedVersions     []string                            always
    4 observedGeneration int64
    """,
    CONDITION,
    NAMES,
)
"""What Go decodes a status into: a condition that lacks its type, status and time has them empty, and null."""
for _found in (STATUS.schema.properties["conditions"], STATUS.schema.properties["storedVersions"]):
    # What upstream writes where there are none. Validation refuses no stored versions with a better text.
    _found.nullable = True
CONDITION.schema.properties["lastTransitionTime"].nullable = True
CUSTOM_RESOURCE_DEFINITION = kind(
    _REF + "CustomResourceDefinition",
    """
    2 spec   CustomResourceDefinitionSpec required
    3 status CustomResourceDefinitionStatus
    """,
    SPEC,
    STATUS,
)
