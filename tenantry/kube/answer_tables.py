"""Tables of the messages that only answers have: Status, metadata alone, lists, discovery documents, scales."""

from __future__ import annotations

from tenantry.kube.message_tables import kind, message

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DISCOVERY = "io.k8s.api.apidiscovery.v2."
_AUTOSCALING = "io.k8s.api.autoscaling.v1."

LIST_META = message(
    _META + "ListMeta",
    """
    1 selfLink           string
    2 resourceVersion    string
    3 continue           string
    4 remainingItemCount *int64
    """,
)
LIST = message(_META + "List", "1 metadata ListMeta", LIST_META)
"""A list of any kind without its items, which have the number 2."""

_CAUSE = message(
    _META + "StatusCause",
    """
    1 reason  string
    2 message string
    3 field   string
    """,
)
_DETAILS = message(
    _META + "StatusDetails",
    """
    1 name              string
    2 group             string
    3 kind              string
    4 causes            []StatusCause
    5 retryAfterSeconds int32
    6 uid               string
    """,
    _CAUSE,
)
STATUS = message(
    _META + "Status",
    """
    1 metadata ListMeta
    2 status   string
    3 message  string
    4 reason   string
    5 details  *StatusDetails
    6 code     int32
    """,
    LIST_META,
    _DETAILS,
    root=True,
)
PARTIAL_OBJECT_METADATA = kind(_META + "PartialObjectMetadata", "")

_ADDRESS = message(
    _META + "ServerAddressByClientCIDR",
    """
    1 clientCIDR    string
    2 serverAddress string
    """,
)
API_VERSIONS = message(
    _META + "APIVersions",
    """
    1 versions                   []string
    2 serverAddressByClientCIDRs []ServerAddressByClientCIDR
    """,
    _ADDRESS,
    root=True,
)
_GROUP_VERSION = message(
    _META + "GroupVersionForDiscovery",
    """
    1 groupVersion string
    2 version      string
    """,
)
API_GROUP = message(
    _META + "APIGroup",
    """
    1 name                       string
    2 versions                   []GroupVersionForDiscovery
    3 preferredVersion           GroupVersionForDiscovery
    4 serverAddressByClientCIDRs []ServerAddressByClientCIDR
    """,
    _GROUP_VERSION,
    _ADDRESS,
    root=True,
)
API_GROUP_LIST = message(_META + "APIGroupList", "1 groups []APIGroup", API_GROUP, root=True)
_API_RESOURCE = message(
    _META + "APIResource",
    """
    1  name               string
    2  namespaced         bool
    3  kind               string
    4  verbs              *Values
    5  shortNames         []string
    6  singularName       string
    7  categories         []string
    8  group              string
    9  version            string
    10 storageVersionHash string
    """,
)
API_RESOURCE_LIST = message(
    _META + "APIResourceList",
    """
    1 groupVersion string
    2 resources    []APIResource
    """,
    _API_RESOURCE,
    root=True,
)
_GROUP_VERSION_KIND = message(
    _META + "GroupVersionKind",
    """
    1 group   string
    2 version string
    3 kind    string
    """,
)
_SUBRESOURCE = message(
    _DISCOVERY + "APISubresourceDiscovery",
    """
    1 subresource   string
    2 responseKind  *GroupVersionKind
    3 acceptedTypes []GroupVersionKind
    4 verbs         []string
    """,
    _GROUP_VERSION_KIND,
)
_RESOURCE = message(
    _DISCOVERY + "APIResourceDiscovery",
    """
    1 resource         string
    2 responseKind     *GroupVersionKind
    3 scope            string
    4 singularResource string
    5 verbs            []string
    6 shortNames       []string
    7 categories       []string
    8 subresources     []APISubresourceDiscovery
    """,
    _GROUP_VERSION_KIND,
    _SUBRESOURCE,
)
_VERSION = message(
    _DISCOVERY + "APIVersionDiscovery",
    """
    1 version   string
    2 resources []APIResourceDiscovery
    3 freshness string
    """,
    _RESOURCE,
)
_GROUP = kind(_DISCOVERY + "APIGroupDiscovery", "2 versions []APIVersionDiscovery", _VERSION)
API_GROUP_DISCOVERY_LIST = message(
    _DISCOVERY + "APIGroupDiscoveryList",
    """
    1 metadata ListMeta
    2 items    []APIGroupDiscovery
    """,
    LIST_META,
    _GROUP,
    root=True,
)

SCALE = kind(
    _AUTOSCALING + "Scale",
    """
    2 spec   ScaleSpec
    3 status ScaleStatus
    """,
    message(_AUTOSCALING + "ScaleSpec", "1 replicas int32"),
    message(
        _AUTOSCALING + "ScaleStatus",
        """
        1 replicas int32
        2 selector string
        """,
    ),
)
