// Command resolve asks a gateway through stubs generated from this repository's protos, as any Go program outside of it would.
//
//	resolve -address HOST:PORT -ca FILE -cert FILE -key FILE resolve TENANT...   one JSON line for each tenant
//	resolve ... batch TENANT...                                                  one JSON line
//	resolve ... watch                                                            one JSON line for each update of the map
//	resolve ... ask COUNT AT_ONCE TENANT...      COUNT single look-ups, AT_ONCE at a time; one JSON line
//	resolve ... follow COUNT    so many followers; a line when all have the map, then for each change one line when all have it
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	gateway "example.org/tenantry/resolve/gateway"
)

func main() {
	address := flag.String("address", "", "host:port of a gateway")
	ca := flag.String("ca", "", "CA of the gateway, PEM")
	certificate := flag.String("cert", "", "client certificate, PEM")
	key := flag.String("key", "", "its key, PEM")
	flag.Parse()
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(mutualTLS(*ca, *certificate, *key)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := gateway.NewGatewayClient(connection)
	switch what := flag.Arg(0); what {
	case "resolve":
		for _, tenant := range flag.Args()[1:] {
			resolve(client, tenant)
		}
	case "batch":
		batch(client, flag.Args()[1:])
	case "watch":
		watch(client)
	case "ask":
		ask(client, number(1), number(2), flag.Args()[3:])
	case "follow":
		follow(*address, mutualTLS(*ca, *certificate, *key), number(1))
	default:
		log.Fatalf("unknown command %q", what)
	}
}

func number(at int) int {
	value, err := strconv.Atoi(flag.Arg(at))
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func mutualTLS(ca, certificate, key string) credentials.TransportCredentials {
	pem, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("no certificate in %s", ca)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
}

func resolve(client gateway.GatewayClient, tenant string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := client.Resolve(ctx, &gateway.ResolveRequest{Tenant: tenant})
	if err != nil {
		print(refusal(err))
		return
	}
	print(map[string]any{
		"cluster": answer.Cluster, "path": answer.Path, "range": answer.Range, "shard": answer.Shard,
		"url": answer.Url, "generation": answer.Generation,
	})
}

func refusal(err error) map[string]any {
	refused := status.Convert(err)
	details := []string{}
	for _, detail := range refused.Details() {
		message, ok := detail.(proto.Message)
		if !ok {
			log.Fatalf("a detail that is not known here: %v", detail)
		}
		details = append(details, string(message.ProtoReflect().Descriptor().FullName()))
	}
	return map[string]any{"code": refused.Code().String(), "message": refused.Message(), "details": details}
}

func batch(client gateway.GatewayClient, tenants []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := client.BatchResolve(ctx, &gateway.BatchResolveRequest{Tenants: tenants})
	if err != nil {
		log.Fatal(err)
	}
	clusters := answer.Clusters
	if len(clusters) == 0 {
		clusters = tenants
	}
	failed := map[uint32]bool{}
	for _, failure := range answer.Failures {
		failed[failure.Index] = true
	}
	urls := []string{}
	for index, place := range answer.Place {
		if failed[uint32(index)] {
			urls = append(urls, "")
			continue
		}
		urls = append(urls, answer.Places[place].UrlPrefix+clusters[index])
	}
	print(map[string]any{"urls": urls})
}

func watch(client gateway.GatewayClient) {
	stream, err := client.WatchMap(context.Background(), &gateway.WatchMapRequest{})
	if err != nil {
		log.Fatal(err)
	}
	ranges := map[string]*gateway.Range{}
	version := uint64(0)
	for {
		update, err := stream.Recv()
		if err != nil {
			log.Fatal(err)
		}
		if update.Full {
			ranges = map[string]*gateway.Range{}
		} else if update.FromVersion != version {
			log.Fatalf("updates are missing: version %d is known, the update is from %d", version, update.FromVersion)
		}
		version = update.Version
		for _, changed := range update.Ranges {
			ranges[changed.Name] = changed
		}
		for _, name := range update.RemovedRanges {
			delete(ranges, name)
		}
		shards := map[string]string{}
		for name, known := range ranges {
			shards[name] = known.Shard
		}
		print(map[string]any{"version": version, "full": update.Full, "shards": shards})
	}
}

// ask checks every answer, and says how many came in a second.
func ask(client gateway.GatewayClient, count, atOnce int, tenants []string) {
	numbers := make(chan int, count)
	for n := range count {
		numbers <- n
	}
	close(numbers)
	var askers sync.WaitGroup
	began := time.Now()
	for range atOnce {
		askers.Add(1)
		go func() {
			defer askers.Done()
			for n := range numbers {
				tenant := tenants[n%len(tenants)]
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				answer, err := client.Resolve(ctx, &gateway.ResolveRequest{Tenant: tenant})
				cancel()
				if err != nil || answer.Cluster != tenant {
					log.Fatalf("%s: %v, %v", tenant, answer, err)
				}
			}
		}()
	}
	askers.Wait()
	print(map[string]any{"perSecond": float64(count) / time.Since(began).Seconds()})
}

type arrival struct {
	version uint64
	first   bool
	at      time.Time
}

// follow has each follower on a connection of its own, and says when each had an update: seconds since the epoch.
func follow(address string, tls credentials.TransportCredentials, count int) {
	arrivals := make(chan arrival, count)
	for range count {
		go func() {
			connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(tls))
			if err != nil {
				log.Fatal(err)
			}
			stream, err := gateway.NewGatewayClient(connection).WatchMap(context.Background(), &gateway.WatchMapRequest{})
			if err != nil {
				log.Fatal(err)
			}
			for {
				update, err := stream.Recv()
				if err != nil {
					log.Fatal(err)
				}
				if update.Full || len(update.Ranges) > 0 {
					arrivals <- arrival{update.Version, update.Full, time.Now()}
				}
			}
		}()
	}
	ready := 0
	moments := map[uint64][]float64{}
	for came := range arrivals {
		if came.first {
			if ready++; ready == count {
				print(map[string]any{"ready": count})
			}
			continue
		}
		moments[came.version] = append(moments[came.version], float64(came.at.UnixNano())/1e9)
		if len(moments[came.version]) == count {
			print(map[string]any{"version": came.version, "moments": moments[came.version]})
			delete(moments, came.version)
		}
	}
}

func print(value map[string]any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
