// Package chaos breaks a mesh of brokers on purpose and checks what clients may
// rely on all the while: nothing crosses accounts, nothing comes twice to a
// subscription, each publisher's messages come in their order, and once the mesh
// is whole again every subscription is heard everywhere, with no connection,
// route or goroutine left behind.
//
// A schedule is drawn from a seed: three broker processes whose routes lead
// through netsim links, clients that come, subscribe, publish and go, and faults:
// kill -9, stop and continue, orderly restarts under load, partitions, one-way cuts,
// slow and severed links. In every third schedule one broker is a stock
// nats-server, in turn.
//
//	make chaos                  # 200 schedules
//	make chaos SCHEDULES=20
//	make chaos SEED=17          # one again
package chaos
