module example.org/tenantry/report

go 1.24.0
